use serde_json::value::to_raw_value;

use super::*;

fn answered(code: i64, message: &str, data: Option<&str>) -> Estimate {
    understand(Err(RpcError::Answered {
        code,
        message: message.to_owned(),
        data: data.map(str::to_owned),
    }))
}

const NO_FUNDS: &str = "\"0x08c379a0\
    0000000000000000000000000000000000000000000000000000000000000020\
    000000000000000000000000000000000000000000000000000000000000000d\
    6e6f7420746865206f776e657200000000000000000000000000000000000000\"";

#[test]
fn reverts_are_told_by_many_tongues() {
    let cases = [
        (
            3,
            "execution reverted",
            Some(NO_FUNDS),
            "execution reverted: not the owner",
        ),
        (
            3,
            "execution reverted: not the owner",
            Some(NO_FUNDS),
            "execution reverted: not the owner",
        ),
        (-32000, "execution reverted", None, "execution reverted"),
        (
            -32015,
            "VM execution error.",
            Some("\"Reverted 0x\""),
            "VM execution error.",
        ),
        (
            -32603,
            "Error: VM Exception while processing transaction: reverted",
            None,
            "Error: VM Exception while processing transaction: reverted",
        ),
        (
            -32603,
            "Execution reverted",
            Some(r#"{"data":"0xdeadbeef"}"#),
            "Execution reverted: 0xdeadbeef",
        ),
        (
            -32000,
            "invalid opcode: INVALID",
            None,
            "invalid opcode: INVALID",
        ),
        (
            3,
            "execution reverted",
            Some("\"0x4e487b710000000000000000000000000000000000000000000000000000000000000011\""),
            "execution reverted: panic 0x11",
        ),
        (
            3,
            "execution reverted",
            Some("\"0x\""),
            "execution reverted",
        ),
    ];
    for (code, message, data, expected) in cases {
        assert_eq!(
            answered(code, message, data),
            Estimate::Reverts {
                reason: expected.to_owned()
            }
        );
    }
}

#[test]
fn what_may_change_is_unknown() {
    for (code, message) in [
        (-32000, "insufficient funds for transfer"),
        (
            -32000,
            "err: insufficient funds for gas * price + value: address 0x1 have 0 want 1",
        ),
        (-32003, "Insufficient funds for gas * price + value"),
        (-32000, "gas required exceeds allowance (30000000)"),
        (-32005, "limit exceeded"),
        (-32601, "the method eth_estimateGas does not exist"),
        (-32000, "header not found"),
    ] {
        assert!(
            matches!(answered(code, message, None), Estimate::Unknown(_)),
            "{message}"
        );
    }
    let unreadable = understand(Ok(to_raw_value("x").unwrap()));
    assert!(matches!(
        unreadable,
        Estimate::Unknown(RpcError::NoAnswer { .. })
    ));
}

#[test]
fn hostile_revert_data_is_cut_and_never_panics() {
    let selector = "08c379a0";
    let full = "f".repeat(64);
    let long = format!("\"0x{selector}{}\"", "ab".repeat(500));
    for data in [
        format!("\"0x{selector}\""),
        format!("\"0x{selector}{full}{full}\""),
        format!("\"0x{selector}{}20{full}\"", "0".repeat(62)),
        "\"0x4e487b71\"".to_owned(),
        "\"0xabc\"".to_owned(),
        "{".to_owned(),
        "{\"data\":{}}".to_owned(),
        long.clone(),
    ] {
        let Estimate::Reverts { reason } = answered(3, "execution reverted", Some(&data)) else {
            panic!("{data}");
        };
        assert!(reason.len() < 300, "{reason}");
    }
    let text: String = "é".repeat(1000);
    let encoded = format!(
        "\"0x{selector}{:064x}{:064x}{}\"",
        32,
        text.len(),
        hex::encode(&text)
    );
    let Estimate::Reverts { reason } = answered(3, "execution reverted", Some(&encoded)) else {
        panic!();
    };
    assert_eq!(reason.chars().filter(|c| *c == 'é').count(), TEXT_MAX);
}
