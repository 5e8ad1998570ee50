//! What relays carry: HTTP, and streams of responses.

use baton_pocket::Fault;
use baton_pocket::http::{self, HEADERS_MAX};
use baton_pocket::message::{Header, PokthttpRequest, PokthttpResponse};
use baton_pocket::stream::{
    BATCH_BYTES, DELIMITER, LINE_MAX, Lines, Responses, StreamError, frame,
};
use proptest::prelude::*;
use prost::Message;

#[test]
fn a_request_is_written_as_go_writes_it() {
    let mut request = PokthttpRequest {
        method: "POST".to_owned(),
        url: "/v1?x=1".to_owned(),
        body_bz: b"{}".to_vec(),
        ..PokthttpRequest::default()
    };
    http::add_header(&mut request.header, "x-b", "2");
    http::add_header(&mut request.header, "content-TYPE", "a");
    http::add_header(&mut request.header, "Content-Type", "b");
    let bytes = http::encode_request(&request);
    let expected = [
        b"\x0a\x04POST".as_slice(),
        b"\x12\x24\x0a\x0cContent-Type\x12\x14\x0a\x0cContent-Type\x12\x01a\x12\x01b",
        b"\x12\x0f\x0a\x03X-B\x12\x08\x0a\x03X-B\x12\x012",
        b"\x1a\x07/v1?x=1\x22\x02{}",
    ]
    .concat();
    assert_eq!(bytes, expected);
    assert_eq!(http::decode_request(&bytes), Ok(request));
}

#[test]
fn an_empty_header_has_both_its_key_and_its_value() {
    let response = PokthttpResponse {
        status_code: 204,
        header: [(String::new(), Header::default())].into(),
        body_bz: Vec::new(),
    };
    let bytes = http::encode_response(&response);
    assert_eq!(bytes, b"\x08\xcc\x01\x12\x04\x0a\x00\x12\x00");
    assert_eq!(http::decode_response(&bytes), Ok(response));
}

#[test]
fn names_are_written_as_go_writes_them() {
    for (name, canonical) in [
        ("content-type", "Content-Type"),
        ("ETAG", "Etag"),
        ("x--y", "X--Y"),
        ("with space", "with space"),
        ("", ""),
    ] {
        assert_eq!(http::canonical_name(name), canonical);
    }
}

#[test]
fn headers_have_a_limit() {
    let many = |count: usize| PokthttpRequest {
        header: (0..count)
            .map(|n| (n.to_string(), Header::default()))
            .collect(),
        ..PokthttpRequest::default()
    };
    let bytes = http::encode_request(&many(HEADERS_MAX));
    assert_eq!(http::decode_request(&bytes), Ok(many(HEADERS_MAX)));
    let error = http::decode_request(&http::encode_request(&many(HEADERS_MAX + 1))).unwrap_err();
    assert_eq!(
        (error.field, error.fault),
        ("POKTHTTPRequest.header", Fault::Entries(HEADERS_MAX))
    );

    let values = Header {
        key: String::new(),
        values: vec![String::new(); HEADERS_MAX + 1],
    };
    let response = PokthttpResponse {
        header: [(String::new(), values)].into(),
        ..PokthttpResponse::default()
    };
    let error = http::decode_response(&http::encode_response(&response)).unwrap_err();
    assert_eq!(
        (error.field, error.fault),
        ("Header.values", Fault::Entries(HEADERS_MAX))
    );
    let error = http::decode_response(b"\x12\x03\x12\x01\x0a").unwrap_err();
    assert_eq!((error.field, error.offset), ("Header.key", 5));
}

#[test]
fn a_stream_comes_apart_where_it_was_joined() {
    let parts = [
        b"one".to_vec(),
        Vec::new(),
        b"||POKT_STREA".to_vec(),
        b"|".to_vec(),
    ];
    let stream: Vec<u8> = parts.iter().flat_map(|part| frame(part).unwrap()).collect();
    for size in [1, 2, 7, stream.len()] {
        let mut responses = Responses::new(100);
        let mut found = Vec::new();
        for chunk in stream.chunks(size) {
            found.extend(responses.push(chunk).unwrap());
        }
        assert_eq!(found, parts, "in chunks of {size}");
        assert_eq!(responses.finish(), Ok(()));
    }
}

#[test]
fn a_response_that_would_be_split_is_not_sent() {
    let inside = [b"ab".as_slice(), DELIMITER, b"cd"].concat();
    assert_eq!(frame(&inside), Err(StreamError::Ambiguous { offset: 2 }));
    // The delimiter begins in the response and ends in the delimiter behind it.
    let across = b"x||POKT_STREAM";
    assert_eq!(frame(across), Err(StreamError::Ambiguous { offset: 1 }));
    let across = b"||POKT_STREAM|";
    assert_eq!(frame(across), Err(StreamError::Ambiguous { offset: 0 }));
}

#[test]
fn a_stream_has_limits_and_an_end() {
    let mut responses = Responses::new(4);
    assert_eq!(
        responses.push(&frame(b"four").unwrap()),
        Ok(vec![b"four".to_vec()])
    );
    let error = StreamError::Response {
        offset: 19,
        limit: 4,
    };
    assert_eq!(responses.push(&[b'x'; 5 + 14]), Err(error.clone()));
    assert_eq!(responses.push(b"more"), Err(error.clone()), "it stays lost");
    assert_eq!(responses.finish(), Err(error));

    let mut responses = Responses::new(4);
    assert_eq!(responses.push(b"ab||POKT"), Ok(Vec::new()));
    let unfinished = StreamError::Unfinished {
        offset: 0,
        length: 8,
    };
    assert_eq!(responses.finish(), Err(unfinished));
    let five = Responses::new(4).push(&frame(b"fives").unwrap());
    assert!(
        matches!(five, Err(StreamError::Response { offset: 0, .. })),
        "{five:?}"
    );
}

#[test]
fn lines_are_gathered_into_batches() {
    let mut lines = Lines::default();
    assert_eq!(lines.push(b"a\r\nb\n\nc"), Ok(Vec::new()));
    assert_eq!(lines.flush().as_deref(), Some(b"a\nb\n\n".as_slice()));
    assert_eq!(lines.flush(), None);
    assert_eq!(lines.push(b"d\r"), Ok(Vec::new()));
    assert_eq!(lines.finish().as_deref(), Some(b"cd\n".as_slice()));

    let mut lines = Lines::default();
    let hundred = b"x\n".repeat(250);
    let batches = lines.push(&hundred).unwrap();
    assert_eq!(batches.iter().map(Vec::len).collect::<Vec<_>>(), [200, 200]);
    assert_eq!(lines.finish().unwrap().len(), 100);

    let mut lines = Lines::default();
    let long = [vec![b'x'; BATCH_BYTES], b"\n".to_vec()].concat();
    assert_eq!(lines.push(&long).unwrap(), [long]);
    assert_eq!(lines.finish(), None);
}

#[test]
fn a_map_of_another_wire_type_is_refused() {
    assert!(http::decode_request(&[0x10, 0x00]).is_err());
    assert!(http::decode_response(&[0x10, 0x00]).is_err());
}

#[test]
fn a_line_has_a_limit() {
    let mut lines = Lines::default();
    lines.push(b"first\n").unwrap();
    lines.push(&vec![b'x'; LINE_MAX]).unwrap();
    let error = StreamError::Line { offset: 6 };
    assert_eq!(lines.push(b"y"), Err(error.clone()));
    assert_eq!(lines.push(b"z"), Err(error));
    assert_eq!(lines.finish().as_deref(), Some(b"first\n".as_slice()));

    // The batch that the same call filled is not lost with the line behind it.
    let mut lines = Lines::default();
    let body = [b"x\n".repeat(150), vec![b'y'; LINE_MAX + 1]].concat();
    assert_eq!(lines.push(&body), Err(StreamError::Line { offset: 300 }));
    assert_eq!(lines.finish(), Some(b"x\n".repeat(150)));
}

proptest! {
    #[test]
    fn batches_together_are_the_lines(
        parts in prop::collection::vec("[a\r\n]{0,30}", 0..20),
    ) {
        let mut lines = Lines::default();
        let mut found = Vec::new();
        for part in &parts {
            found.extend(lines.push(part.as_bytes()).unwrap().concat());
        }
        found.extend(lines.finish().unwrap_or_default());
        let body = parts.concat();
        let expected: String = body
            .split_terminator('\n')
            .map(|line| format!("{}\n", line.strip_suffix('\r').unwrap_or(line)))
            .collect();
        prop_assert_eq!(String::from_utf8(found).unwrap(), expected);
    }

    #[test]
    fn http_decoding_is_prosts(
        method in ".{0,8}",
        names in prop::collection::btree_map("[a-z]{0,4}", prop::collection::vec(".{0,4}", 0..3), 0..4),
        body_bz in prop::collection::vec(any::<u8>(), 0..20),
        at in any::<prop::sample::Index>(),
        value in any::<u8>(),
    ) {
        let header = names
            .into_iter()
            .map(|(name, values)| (name.clone(), Header { key: name, values }))
            .collect();
        let request = PokthttpRequest { method, header, url: String::new(), body_bz };
        let mut bytes = http::encode_request(&request);
        prop_assert_eq!(http::decode_request(&bytes), Ok(request));
        if !bytes.is_empty() {
            let at = at.index(bytes.len());
            // prost takes a map's field with whatever wire type, which Go and the own decoder refuse.
            let is_retyped = bytes[at] >> 3 == value >> 3 && bytes[at] != value;
            prop_assume!(!is_retyped);
            bytes[at] = value;
        }
        let own = http::decode_request(&bytes).ok();
        prop_assert_eq!(own, PokthttpRequest::decode(bytes.as_slice()).ok());
        let own = http::decode_response(&bytes).ok();
        prop_assert_eq!(own, PokthttpResponse::decode(bytes.as_slice()).ok());
    }
}
