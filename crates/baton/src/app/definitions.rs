//! The settings of the file, as the registry has them.

use baton_engine::registry::{
    Definitions, NetworkDef, NodeDef, NotificationDef, RelayerDef, SignerDef,
};

use crate::config::{Network, Notification, Relayer, Settings, SignerSource};

/// What the file says.
pub(super) fn definitions(settings: &Settings) -> Definitions {
    let signers = settings.signers.iter();
    let notifications = settings.notifications.iter();
    Definitions {
        relayers: settings.relayers.iter().map(relayer).collect(),
        signers: signers.map(|(id, source)| signer(id, source)).collect(),
        notifications: notifications
            .map(|(id, one)| notification(id, one))
            .collect(),
        networks: settings.networks.values().map(|one| network(one)).collect(),
    }
}

fn relayer(relayer: &Relayer) -> RelayerDef {
    let custom = relayer.custom_rpc_urls.as_ref();
    RelayerDef {
        id: relayer.id.clone(),
        name: relayer.name.clone(),
        network: relayer.network.profile.name.clone(),
        paused: relayer.paused,
        policy: relayer.policy.clone(),
        signer_ids: relayer.signer_ids.clone(),
        notification_id: relayer.notification_id.clone(),
        custom_rpc_urls: custom.map(|nodes| nodes.iter().map(NodeDef::from).collect()),
    }
}

fn network(network: &Network) -> NetworkDef {
    NetworkDef {
        profile: network.profile.clone(),
        nodes: network.endpoints.iter().map(NodeDef::from).collect(),
        explorer_urls: network.explorer_urls.clone(),
        features: network.features.clone(),
    }
}

fn signer(id: &str, source: &SignerSource) -> SignerDef {
    let (kind, shown) = source.shown();
    SignerDef {
        id: id.to_owned(),
        kind: kind.to_owned(),
        shown_kind: kind.to_owned(),
        shown,
        config: None,
    }
}

fn notification(id: &str, notification: &Notification) -> NotificationDef {
    NotificationDef {
        id: id.to_owned(),
        url: Some(notification.url.clone()),
        signing_key: notification.signing_key.clone(),
        events: notification.events.clone(),
    }
}
