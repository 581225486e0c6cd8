//! Round trips, golden frames, arbitrary bytes.

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;

use super::hot::{self, Deliver, Settlement};
use super::properties::{self, Properties};
use super::*;

fn frame(channel: u16, method: &Method) -> Bytes {
    let mut out = BytesMut::new();
    put_method(&mut out, channel, method);
    out.freeze()
}

/// Bytes from hexadecimal with spaces between the parts.
fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b' ').collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

fn whole(bytes: &[u8]) -> Front {
    match look(bytes, 1 << 20) {
        Ok(Look::Whole(front)) => front,
        other => panic!("not a whole frame: {other:?}"),
    }
}

fn check(channel: u16, method: &Method, golden: &str) {
    let bytes = frame(channel, method);
    assert_eq!(bytes, hex(golden), "{method:?}");
    let front = whole(&bytes);
    assert_eq!((front.kind, front.channel), (FRAME_METHOD, channel));
    assert_eq!(front.whole(), bytes.len());
    assert_eq!(&Method::decode(payload(&bytes, front)).unwrap(), method);
}

#[test]
fn methods_are_written_as_the_specification_says() {
    let tune = Method::Tune {
        channel_max: 2047,
        frame_max: 131_072,
        heartbeat: 60,
    };
    check(0, &tune, "01 0000 0000000c 000a001e 07ff 00020000 003c ce");
    let declare = Method::QueueDeclare {
        ticket: 0,
        queue: "q".into(),
        passive: false,
        durable: true,
        exclusive: false,
        auto_delete: true,
        nowait: true,
        arguments: Table::new().with("p", Value::U8(9)),
    };
    let golden = "01 0001 00000011 0032000a 0000 0171 1a 00000004 0170 4209 ce";
    check(1, &declare, golden);
    let nack = Method::Nack {
        delivery_tag: 1,
        multiple: true,
        requeue: true,
    };
    check(7, &nack, "01 0007 0000000d 003c0078 0000000000000001 03 ce");
    check(
        1,
        &Method::ExchangeUnbindOk {},
        "01 0001 00000004 00280033 ce",
    );
}

#[test]
fn more_than_eight_bits_take_two_octets() {
    let mut out = BytesMut::new();
    let mut writer = Writer::new(&mut out);
    for at in 0..10 {
        writer.bit(at % 3 == 0);
    }
    writer.u8(7);
    writer.bit(true);
    assert_eq!(&out[..], [0b0100_1001, 0b10, 7, 1]);
    let mut reader = Reader::new(&out);
    for at in 0..10 {
        assert_eq!(reader.bit().unwrap(), at % 3 == 0, "{at}");
    }
    assert_eq!(reader.u8().unwrap(), 7);
    assert!(reader.bit().unwrap());
    assert!(reader.bit().is_ok_and(|bit| !bit));
}

#[test]
fn frames_are_refused_for_what_is_wrong_with_them() {
    let good = frame(1, &Method::QosOk {});
    for n in 0..FRAME_HEAD {
        assert_eq!(look(&good[..n], 100), Ok(Look::Need(FRAME_HEAD)));
    }
    for n in FRAME_HEAD..good.len() {
        assert_eq!(look(&good[..n], 100), Ok(Look::Need(good.len())));
    }
    assert_eq!(look(&good, 3), Err(Malformed::FrameSize(4)));
    let mut bad = good.to_vec();
    bad[11] = 0;
    assert_eq!(look(&bad, 100), Err(Malformed::FrameEnd));
    bad[0] = 4;
    assert_eq!(look(&bad, 100), Err(Malformed::FrameType(4)));
}

#[test]
fn tables_too_deep_and_of_unknown_types_are_refused() {
    let mut table = Table::new();
    for _ in 0..70 {
        table = Table::new().with("t", Value::Table(table));
    }
    let mut out = BytesMut::new();
    Writer::new(&mut out).table(&table);
    assert_eq!(Reader::new(&out).table(), Err(Malformed::TooDeep));
    let unknown = hex("00000003 0161 5a");
    assert_eq!(
        Reader::new(&unknown).table(),
        Err(Malformed::UnknownType(b'Z'))
    );
}

#[test]
fn of_two_entries_with_one_name_the_first_counts() {
    let mut table = Table::new()
        .with("a", Value::I32(1))
        .with("b", Value::Void)
        .with("a", Value::I32(2));
    assert_eq!(table.get("a"), Some(&Value::I32(1)));
    assert_eq!(table.remove("a"), Some(Value::I32(1)));
    assert_eq!((table.len(), table.get("a")), (1, None));
}

#[test]
fn integers_are_compared_by_value_and_nothing_else_is() {
    assert!(Value::I8(10).is_equivalent(&Value::I64(10)));
    assert!(Value::U32(10).is_equivalent(&Value::I16(10)));
    assert!(!Value::U32(10).is_equivalent(&Value::F64(10.0)));
    assert!(!Value::Bool(true).is_equivalent(&Value::I8(1)));
    assert!(Value::text("a").is_equivalent(&Value::text("a")));
}

#[test]
fn settlements_are_read_from_their_three_methods() {
    let read = |method: &Method| {
        let bytes = frame(1, method);
        hot::settlement(payload(&bytes, whole(&bytes))).unwrap()
    };
    let settlement = |method, multiple, requeue| {
        Some(Settlement {
            method,
            tag: 5,
            multiple,
            requeue,
        })
    };
    let ack = Method::Ack {
        delivery_tag: 5,
        multiple: true,
    };
    assert_eq!(read(&ack), settlement(80, true, false));
    let reject = Method::Reject {
        delivery_tag: 5,
        requeue: true,
    };
    assert_eq!(read(&reject), settlement(90, false, true));
    let nack = Method::Nack {
        delivery_tag: 5,
        multiple: false,
        requeue: true,
    };
    assert_eq!(read(&nack), settlement(120, false, true));
    assert_eq!(read(&Method::QosOk {}), None);
    assert_eq!(hot::settlement(&hot::ACK), Err(Malformed::Short));
}

#[test]
fn a_body_is_cut_to_the_frames_that_were_agreed_on() {
    let mut out = net::head::Output::new();
    hot::put_body(&mut out, 3, &Bytes::from_static(b"abcdefg"), 3);
    let expected =
        hex("03 0003 00000003 616263 ce 03 0003 00000003 646566 ce 03 0003 00000001 67 ce");
    assert_eq!(&out.buf()[..], expected);
    let mut empty = net::head::Output::new();
    hot::put_body(&mut empty, 3, &Bytes::new(), 3);
    assert!(empty.is_empty());
}

#[test]
fn content_headers_have_one_class_no_weight_and_one_word_of_flags() {
    let good = hex("003c 0000 0000000000000005 0000");
    assert_eq!(content_header(&good).unwrap().body_size, 5);
    for bad in [
        "003d 0000 0000000000000005 0000",
        "003c 0001 0000000000000005 0000",
        "003c 0000 0000000000000005 0001",
    ] {
        assert_eq!(
            content_header(&hex(bad)),
            Err(Malformed::ContentHeader),
            "{bad}"
        );
    }
    assert_eq!(content_header(&good[..13]), Err(Malformed::Short));
}

fn value() -> impl Strategy<Value = Value> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..20).prop_map(Bytes::from);
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::Bool),
        any::<i8>().prop_map(Value::I8),
        any::<u8>().prop_map(Value::U8),
        any::<i16>().prop_map(Value::I16),
        any::<u16>().prop_map(Value::U16),
        any::<i32>().prop_map(Value::I32),
        any::<u32>().prop_map(Value::U32),
        any::<i64>().prop_map(Value::I64),
        (-1.0e9_f32..1.0e9).prop_map(Value::F32),
        (-1.0e9_f64..1.0e9).prop_map(Value::F64),
        (any::<u8>(), any::<u32>()).prop_map(|(scale, value)| Value::Decimal(scale, value)),
        bytes().prop_map(Value::Text),
        bytes().prop_map(Value::Binary),
        any::<u64>().prop_map(Value::Timestamp),
        Just(Value::Void),
    ];
    leaf.prop_recursive(3, 20, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::Array),
            prop::collection::vec(("[a-z-]{0,9}", inner), 0..5).prop_map(table_of),
        ]
    })
}

fn table_of(entries: Vec<(String, Value)>) -> Value {
    let mut table = Table::new();
    for (name, value) in entries {
        table.push(name, value);
    }
    Value::Table(table)
}

proptest! {
    #[test]
    fn tables_come_back_as_they_were(value in value()) {
        let table = Table::new().with("v", value);
        let mut out = BytesMut::new();
        Writer::new(&mut out).table(&table);
        let mut reader = Reader::new(&out);
        prop_assert_eq!(reader.table().unwrap(), table);
        prop_assert!(reader.end().is_ok());
    }

    #[test]
    fn publish_and_deliver_are_what_the_table_says(
        exchange in "[a-z]{0,9}", key in "[a-z.]{0,40}", tag in any::<u64>(),
        bits in any::<(bool, bool)>(),
    ) {
        let method = Method::Publish {
            ticket: 0,
            exchange: exchange.as_str().into(),
            routing_key: key.as_str().into(),
            mandatory: bits.0,
            immediate: bits.1,
        };
        let bytes = frame(1, &method);
        let front = whole(&bytes);
        prop_assert!(hot::is_publish(&bytes, front));
        let read = hot::publish(payload(&bytes, front)).unwrap();
        prop_assert_eq!((read.exchange, read.routing_key), (exchange.as_bytes(), key.as_bytes()));
        prop_assert_eq!((read.mandatory, read.immediate), bits);

        let mut out = BytesMut::new();
        hot::put_deliver(&mut out, 9, &Deliver {
            consumer_tag: b"tag",
            tag,
            redelivered: bits.0,
            exchange: exchange.as_bytes(),
            routing_key: key.as_bytes(),
        });
        let deliver = Method::Deliver {
            consumer_tag: "tag".into(),
            delivery_tag: tag,
            redelivered: bits.0,
            exchange: exchange.as_str().into(),
            routing_key: key.as_str().into(),
        };
        prop_assert_eq!(out.freeze(), frame(9, &deliver));
    }

    #[test]
    fn properties_come_back_as_they_were(flags in any::<u16>(), text in "[a-z]{0,12}", number in any::<u64>()) {
        let short = |flag: u16| (flags & flag != 0).then_some(text.as_bytes());
        let table = Table::new().with("k", Value::I64(1));
        let mut headers = BytesMut::new();
        Writer::new(&mut headers).bare_table(&table);
        let wanted = Properties {
            content_type: short(properties::CONTENT_TYPE),
            content_encoding: short(properties::CONTENT_ENCODING),
            headers: (flags & properties::HEADERS != 0).then_some(&headers[..]),
            delivery_mode: (flags & properties::DELIVERY_MODE != 0).then_some(2),
            priority: (flags & properties::PRIORITY != 0).then_some(4),
            correlation_id: short(properties::CORRELATION_ID),
            reply_to: short(properties::REPLY_TO),
            expiration: short(properties::EXPIRATION),
            message_id: short(properties::MESSAGE_ID),
            timestamp: (flags & properties::TIMESTAMP != 0).then_some(number),
            kind: short(properties::TYPE),
            user_id: short(properties::USER_ID),
            app_id: short(properties::APP_ID),
            cluster_id: short(properties::CLUSTER_ID),
        };
        let block = wanted.write(wanted.headers.is_some().then_some(&table));
        prop_assert_eq!(Properties::read(&block).unwrap(), wanted);
        prop_assert_eq!(properties::flags(&block), flags & !0b11);
    }

    #[test]
    fn arbitrary_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200), id in 0..methods::ALL.len()) {
        let _ = look(&bytes, 100);
        let _ = content_header(&bytes);
        let _ = Properties::read(&bytes);
        let _ = hot::publish(&bytes);
        let (class, method) = methods::ALL[id];
        let mut payload = [class.to_be_bytes(), method.to_be_bytes()].concat();
        payload.extend_from_slice(&bytes);
        let _ = hot::settlement(&payload);
        if let Ok(method) = Method::decode(&payload) {
            // What was understood is written so that it is understood the same.
            let mut out = BytesMut::new();
            method.encode(&mut Writer::new(&mut out));
            let again = Method::decode(&out).unwrap();
            prop_assert_eq!(format!("{again:?}"), format!("{method:?}"));
        }
    }
}
