//! Who takes part at a height: applications until they leave, suppliers while they are configured for a service.

use crate::message::Application;
use crate::message::pocket::shared::Supplier;

/// Whether an application pays for relays in the block at `height`: up to the session in which it unstakes or else is
/// transferred ends, that height included; without either, always.
#[must_use]
pub fn is_application_active(application: &Application, height: i64) -> bool {
    let height = u64::try_from(height).unwrap_or(0);
    match (
        application.unstake_session_end_height,
        &application.pending_transfer,
    ) {
        (0, None) => true,
        (0, Some(transfer)) => height <= transfer.session_end_height,
        (end, _) => height <= end,
    }
}

/// Whether a supplier serves a service in the block at `height`: some entry of its history begins at that height or
/// before and does not end until after it, where 0 is no end. A supplier that was asked for without its history
/// (`dehydrated`) so serves nothing.
#[must_use]
pub fn is_supplier_active(supplier: &Supplier, service_id: &str, height: i64) -> bool {
    supplier.service_config_history.iter().any(|update| {
        let serves = |service: &str| service == service_id;
        let service = update.service.as_ref();
        service.is_some_and(|service| serves(&service.service_id))
            && update.activation_height <= height
            && (update.deactivation_height == 0 || update.deactivation_height > height)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::pocket::application::PendingApplicationTransfer;
    use crate::message::pocket::shared::{ServiceConfigUpdate, SupplierServiceConfig};

    #[test]
    fn applications_stay_until_their_last_session_ends() {
        let application = |unstake_session_end_height, transfer: Option<u64>| Application {
            unstake_session_end_height,
            pending_transfer: transfer.map(|session_end_height| PendingApplicationTransfer {
                destination_address: String::new(),
                session_end_height,
            }),
            ..Application::default()
        };
        for (application, last) in [
            (application(20, None), 20),
            (application(0, Some(30)), 30),
            (application(20, Some(30)), 20),
        ] {
            assert!(is_application_active(&application, last));
            assert!(!is_application_active(&application, last + 1));
        }
        assert!(is_application_active(&application(0, None), i64::MAX));
        assert!(is_application_active(&application(20, None), -1));
    }

    #[test]
    fn suppliers_serve_while_an_entry_of_their_history_holds() {
        let entry = |service: &str, activation_height, deactivation_height| ServiceConfigUpdate {
            operator_address: String::new(),
            service: Some(SupplierServiceConfig {
                service_id: service.to_owned(),
                ..SupplierServiceConfig::default()
            }),
            activation_height,
            deactivation_height,
        };
        let supplier = Supplier {
            service_config_history: vec![
                entry("a", 10, 20),
                entry("a", 25, 0),
                entry("b", 1, 5),
                ServiceConfigUpdate::default(),
            ],
            ..Supplier::default()
        };
        let active = |service, height| is_supplier_active(&supplier, service, height);
        let heights = [
            (9, false),
            (10, true),
            (19, true),
            (20, false),
            (24, false),
            (25, true),
        ];
        for (height, expected) in heights {
            assert_eq!(active("a", height), expected, "height {height}");
        }
        assert!(active("a", i64::MAX) && active("b", 4) && !active("b", 5));
        assert!(!active("", 0), "an entry without a service is of none");
        assert!(!is_supplier_active(&Supplier::default(), "a", 15));
    }
}
