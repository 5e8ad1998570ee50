//! Bytes that are no relay, and relays that are not valid.

use baton_pocket::keys::AddressError;
use baton_pocket::message::{Relay, RelayRequest, SessionHeader};
use baton_pocket::relay::{self, FieldError};
use baton_pocket::{DecodeError, Fault};

use crate::{header, request, supplier};

/// A name, the bytes, and the field, the offset and the fault of the error.
type Case = (&'static str, &'static [u8], &'static str, usize, Fault);

const CASES: &[Case] = &[
    (
        "key cut",
        b"\x80",
        "RelayRequest",
        0,
        Fault::Truncated { needed: 2, left: 1 },
    ),
    (
        "field 0",
        b"\x02\x00",
        "RelayRequest",
        0,
        Fault::FieldNumber(0),
    ),
    (
        "field too large",
        b"\xf8\xff\xff\xff\xff\x01\x00",
        "RelayRequest",
        0,
        Fault::FieldNumber(0x7_ffff_ffff >> 1),
    ),
    (
        "length cut",
        b"\x12\xff",
        "RelayRequest.payload",
        1,
        Fault::Truncated { needed: 2, left: 1 },
    ),
    (
        "payload cut",
        b"\x12\x05abc",
        "RelayRequest.payload",
        2,
        Fault::Truncated { needed: 5, left: 3 },
    ),
    (
        "length beyond memory",
        b"\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        "RelayRequest.payload",
        11,
        Fault::Truncated {
            needed: u64::MAX,
            left: 0,
        },
    ),
    (
        "number too long",
        b"\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02",
        "RelayRequest.payload",
        1,
        Fault::Number,
    ),
    (
        "payload is a number",
        b"\x10\x05",
        "RelayRequest.payload",
        0,
        Fault::WireType {
            found: 0,
            expected: 2,
        },
    ),
    (
        "address is not text",
        b"\x0a\x04\x1a\x02a\xff",
        "RelayRequestMetadata.supplier_operator_address",
        5,
        Fault::Text,
    ),
    (
        "header ends in a field",
        b"\x0a\x05\x0a\x03\x12\x09x",
        "SessionHeader.service_id",
        6,
        Fault::Truncated { needed: 9, left: 1 },
    ),
    (
        "height is text",
        b"\x0a\x05\x0a\x03\x22\x01x",
        "SessionHeader.session_start_block_height",
        4,
        Fault::WireType {
            found: 2,
            expected: 0,
        },
    ),
    (
        "unknown wire type",
        b"\x3e",
        "RelayRequest",
        0,
        Fault::UnknownWireType(6),
    ),
    (
        "group that nobody began",
        b"\x3c",
        "RelayRequest",
        0,
        Fault::UnknownWireType(4),
    ),
    (
        "group without an end",
        b"\x3b\x08\x01",
        "RelayRequest",
        3,
        Fault::Truncated { needed: 1, left: 0 },
    ),
    (
        "fixed number cut",
        b"\x39\x01",
        "RelayRequest",
        1,
        Fault::Truncated { needed: 8, left: 1 },
    ),
];

#[test]
fn broken_bytes_are_refused_by_field_and_offset() {
    for (name, bytes, field, offset, fault) in CASES {
        let error = relay::decode_request(bytes).expect_err(name);
        if *name == "field too large" {
            assert!(
                matches!(error.fault, Fault::FieldNumber(_)),
                "{name}: {error}"
            );
            assert_eq!((error.field, error.offset), (*field, *offset), "{name}");
        } else {
            let expected = DecodeError {
                field,
                offset: *offset,
                fault: fault.clone(),
            };
            assert_eq!(error, expected, "{name}");
        }
        assert!(
            error
                .to_string()
                .starts_with(&format!("{field}, byte {offset}: ")),
            "{error}"
        );
    }
    let deep = [0x3b; 200];
    let error = relay::decode_request(&deep).unwrap_err();
    assert_eq!((error.offset, error.fault), (100, Fault::Groups));
    let error = relay::decode_response(b"\x1a\x03\x10\x80\x80").unwrap_err();
    assert_eq!((error.field, error.offset), ("RelayMinerError.code", 3));
    let error = relay::decode_relay(b"\x12\x02\x08\x01").unwrap_err();
    assert_eq!((error.field, error.offset), ("RelayResponse.meta", 2));
}

#[test]
fn basic_validity_names_the_field() {
    type Case = (&'static str, fn(&mut RelayRequest));
    let cases: [Case; 11] = [
        ("RelayRequestMetadata.session_header", |r| {
            r.meta.session_header = None
        }),
        ("RelayRequestMetadata.signature", |r| {
            r.meta.signature.clear()
        }),
        ("RelayRequestMetadata.supplier_operator_address", |r| {
            r.meta.supplier_operator_address.clear()
        }),
        ("SessionHeader.application_address", |r| {
            edit(r, |h| h.application_address = "pokt1x".to_owned())
        }),
        ("SessionHeader.application_address", |r| {
            edit(r, |h| h.application_address.make_ascii_uppercase())
        }),
        ("SessionHeader.session_id", |r| {
            edit(r, |h| h.session_id.clear())
        }),
        ("SessionHeader.service_id", |r| {
            edit(r, |h| h.service_id.clear())
        }),
        ("SessionHeader.service_id", |r| {
            edit(r, |h| h.service_id = "a b".to_owned())
        }),
        ("SessionHeader.service_id", |r| {
            edit(r, |h| h.service_id = "x".repeat(43))
        }),
        ("SessionHeader.session_start_block_height", |r| {
            edit(r, |h| h.session_start_block_height = 0)
        }),
        ("SessionHeader.session_end_block_height", |r| {
            edit(r, |h| h.session_end_block_height = 1)
        }),
    ];
    let mut good = request();
    good.meta.signature = vec![1];
    assert_eq!(relay::check_request(&good), Ok(()));
    for (field, change) in cases {
        let mut request = good.clone();
        change(&mut request);
        let error = relay::check_request(&request).expect_err(field);
        assert!(
            error.to_string().starts_with(&format!("{field}: ")),
            "{error}"
        );
    }
    let mut short = good;
    edit(&mut short, |h| h.application_address = "pokt1x".to_owned());
    let answer = relay::check_request(&short);
    assert_eq!(
        answer,
        Err(FieldError::Application(AddressError::Length(6)))
    );

    let key = supplier();
    let mut response = relay::respond(&request(), b"x".to_vec(), &key).unwrap();
    assert_eq!(relay::check_response(&response), Ok(()));
    response.meta.supplier_operator_signature.clear();
    let field = "RelayResponseMetadata.supplier_operator_signature";
    assert_eq!(
        relay::check_response(&response),
        Err(FieldError::Empty(field))
    );
    response.meta.session_header = None;
    let field = "RelayResponseMetadata.session_header";
    assert_eq!(
        relay::check_response(&response),
        Err(FieldError::Empty(field))
    );
}

#[test]
fn a_proven_relay_is_of_the_claim() {
    let mut good = request();
    good.meta.signature = vec![1];
    let key = supplier();
    let response = relay::respond(&good, b"x".to_vec(), &key).unwrap();
    let whole = |request: &RelayRequest| Relay {
        req: Some(request.clone()),
        res: Some(response.clone()),
    };
    let relay = whole(&good);
    let (header, address) = (header(), key.address().to_string());
    let check = |relay: &Relay| relay::check_proven(relay, &header, &address).map(|_| ());
    assert_eq!(check(&relay), Ok(()));
    let missing = |req, res| relay::check_proven(&Relay { req, res }, &header, &address).err();
    let (req, res) = (relay.req.clone(), relay.res.clone());
    assert_eq!(missing(None, res), Some(FieldError::Empty("Relay.req")));
    assert_eq!(missing(req, None), Some(FieldError::Empty("Relay.res")));
    let other = relay::check_proven(&relay, &header, "pokt1other").unwrap_err();
    let field = "RelayRequestMetadata.supplier_operator_address";
    assert_eq!(other, FieldError::Differs(field));

    let other_application = supplier().address().to_string();
    type Change<'a> = (&'a str, &'a dyn Fn(&mut SessionHeader));
    let changes: [Change<'_>; 5] = [
        ("application_address", &|h| {
            h.application_address.clone_from(&other_application);
        }),
        ("service_id", &|h| h.service_id.push('2')),
        ("session_id", &|h| h.session_id.push('0')),
        ("session_start_block_height", &|h| {
            h.session_start_block_height += 1;
        }),
        ("session_end_block_height", &|h| {
            h.session_end_block_height += 1;
        }),
    ];
    for (name, change) in changes {
        let refusal =
            format!("SessionHeader.{name}: differs from the session's, claim's or proof's");
        let mut asked = relay.clone();
        edit(asked.req.as_mut().unwrap(), change);
        assert_eq!(check(&asked).unwrap_err().to_string(), refusal, "request");
        let mut answered = relay.clone();
        let meta = &mut answered.res.as_mut().unwrap().meta;
        change(meta.session_header.as_mut().unwrap());
        assert_eq!(
            check(&answered).unwrap_err().to_string(),
            refusal,
            "response"
        );
    }
}

fn edit(request: &mut RelayRequest, change: impl FnOnce(&mut SessionHeader)) {
    change(request.meta.session_header.as_mut().expect("a header"));
}
