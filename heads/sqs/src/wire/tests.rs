//! One model, two protocols: what goes in means the same, what goes out says the same.

use net::http::Body as HttpBody;
use proptest::prelude::*;

use super::*;
use crate::model::{self, Failed, Message, Received, SendMessageBatch, ValueOut};
use crate::wire::write::{Binary, Pairs};

const JSON_BATCH: &str = r#"{"QueueUrl":"http://h/0/q","Unknown":{"a":[1]},"Entries":[
    {"Id":"a","MessageBody":"x\n\u00e4","DelaySeconds":5,"MessageAttributes":{
        "N":{"DataType":"Number","StringValue":"7"},"B":{"DataType":"Binary","BinaryValue":"AAE="}}},
    {"Id":"b","MessageBody":"y","MessageGroupId":"g","MessageDeduplicationId":null}]}"#;

const FORM_BATCH: &str = "Action=SendMessageBatch&Version=2012-11-05&QueueUrl=http%3A%2F%2Fh%2F0%2Fq\
    &SendMessageBatchRequestEntry.1.Id=a&SendMessageBatchRequestEntry.1.MessageBody=x%0A%C3%A4\
    &SendMessageBatchRequestEntry.1.DelaySeconds=5\
    &SendMessageBatchRequestEntry.1.MessageAttribute.1.Name=N\
    &SendMessageBatchRequestEntry.1.MessageAttribute.1.Value.DataType=Number\
    &SendMessageBatchRequestEntry.1.MessageAttribute.1.Value.StringValue=7\
    &SendMessageBatchRequestEntry.1.MessageAttribute.2.Name=B\
    &SendMessageBatchRequestEntry.1.MessageAttribute.2.Value.DataType=Binary\
    &SendMessageBatchRequestEntry.1.MessageAttribute.2.Value.BinaryValue=AAE%3D\
    &SendMessageBatchRequestEntry.12.Id=b&SendMessageBatchRequestEntry.12.MessageBody=y\
    &SendMessageBatchRequestEntry.12.MessageGroupId=g";

#[test]
fn both_protocols_read_the_same() {
    let json: SendMessageBatch<'_> = Members::Json(JSON_BATCH.as_bytes()).read().unwrap();
    let params = Params::parse(FORM_BATCH, "").unwrap();
    let form: SendMessageBatch<'_> = Members::Query(&params).read().unwrap();
    assert_eq!(format!("{json:?}"), format!("{form:?}"));
    assert_eq!(json.entries.sent, 2);
    let first = &json.entries.items[0];
    assert_eq!((&*first.body, first.delay), ("x\n\u{e4}", Some(5)));
    assert_eq!(first.attributes.entries[1].1.binary, Some(Blob(vec![0, 1])));
    assert_eq!(json.entries.items[1].dedup, None);
}

#[test]
fn what_is_not_escaped_is_not_copied() {
    let body = br#"{"QueueUrl":"q","MessageBody":"plain"}"#;
    let read: model::SendMessage<'_> = Members::Json(body).read().unwrap();
    assert!(matches!(read.body.0, std::borrow::Cow::Borrowed("plain")));
}

#[test]
fn what_is_missing_or_of_another_type_is_said() {
    let error = |body: &str| {
        let read: Result<model::SendMessage<'_>, Failure> = Members::Json(body.as_bytes()).read();
        read.unwrap_err()
    };
    assert_eq!(error("").code, Code::Missing);
    assert_eq!(
        error(r#"{"QueueUrl":"q"}"#),
        Failure::missing("MessageBody")
    );
    assert_eq!(
        error(r#"{"QueueUrl":"q","MessageBody":""}"#),
        Failure::missing("MessageBody")
    );
    for wrong in [
        "[]",
        "{",
        r#"{"QueueUrl":1}"#,
        r#"{"QueueUrl":"q","MessageBody":"x","DelaySeconds":"1"}"#,
        r#"{"QueueUrl":"q","MessageBody":"x","MessageAttributes":{"a":{"BinaryValue":"%"}}}"#,
    ] {
        assert_eq!(error(wrong).code, Code::Serialization, "{wrong}");
    }
}

#[test]
fn long_lists_are_counted_and_not_kept() {
    let many = vec!["{}"; 10_000].join(",");
    let body = format!(r#"{{"QueueUrl":"q","Entries":[{many}]}}"#);
    let read: SendMessageBatch<'_> = Members::Json(body.as_bytes()).read().unwrap();
    assert_eq!(
        (read.entries.items.len(), read.entries.sent),
        (KEPT_MAX, 10_000)
    );
    let many: Vec<String> = (0..1000).map(|n| format!("AttributeName.{n}=x")).collect();
    let form = format!("QueueUrl=q&{}", many.join("&"));
    let params = Params::parse(&form, "").unwrap();
    let read: model::GetQueueAttributes<'_> = Members::Query(&params).read().unwrap();
    assert_eq!((read.names.items.len(), read.names.sent), (KEPT_MAX, 1000));
}

fn text(response: Response) -> String {
    match response.body {
        HttpBody::Full(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
        HttpBody::Stream(_) => panic!("a stream"),
    }
}

fn received() -> Received {
    let value =
        |string: Option<&'static str>, binary: Option<&'static [u8]>, data_type: &str| ValueOut {
            string: string.map(|text| Body(text.into())),
            binary: binary.map(|bytes| Binary(bytes.into())),
            data_type: data_type.to_owned(),
        };
    let message = Message {
        id: "i".to_owned(),
        receipt: "r".to_owned(),
        body_md5: "m".to_owned(),
        body: Body("<a>&\"\r\n\u{e4}".into()),
        attributes: Pairs(vec![("SentTimestamp", "1".to_owned())], read::Named),
        attributes_md5: None,
        message_attributes: Pairs(
            vec![
                ("N".to_owned(), value(Some("7"), None, "Number")),
                ("B".to_owned(), value(None, Some(&[0, 1]), "Binary")),
            ],
            read::Named,
        ),
    };
    Received {
        messages: vec![message],
    }
}

#[test]
fn both_protocols_say_the_same() {
    let json = text(answer(Protocol::Json, "ReceiveMessage", "id", &received()));
    assert_eq!(
        json,
        "{\"Messages\":[{\"MessageId\":\"i\",\"ReceiptHandle\":\"r\",\"MD5OfBody\":\"m\",\
         \"Body\":\"<a>&\\\"\\r\\n\u{e4}\",\"Attributes\":{\"SentTimestamp\":\"1\"},\
         \"MessageAttributes\":{\"N\":{\"StringValue\":\"7\",\"DataType\":\"Number\"},\
         \"B\":{\"BinaryValue\":\"AAE=\",\"DataType\":\"Binary\"}}}]}"
    );
    let xml = text(answer(Protocol::Query, "ReceiveMessage", "id", &received()));
    assert_eq!(
        xml,
        "<?xml version=\"1.0\"?><ReceiveMessageResponse xmlns=\"http://queue.amazonaws.com/doc/2012-11-05/\">\
         <ReceiveMessageResult><Message><MessageId>i</MessageId><ReceiptHandle>r</ReceiptHandle>\
         <MD5OfBody>m</MD5OfBody><Body>&lt;a&gt;&amp;&quot;&#13;\n\u{e4}</Body>\
         <Attribute><Name>SentTimestamp</Name><Value>1</Value></Attribute>\
         <MessageAttribute><Name>N</Name><Value><StringValue>7</StringValue><DataType>Number</DataType></Value></MessageAttribute>\
         <MessageAttribute><Name>B</Name><Value><BinaryValue>AAE=</BinaryValue><DataType>Binary</DataType></Value></MessageAttribute>\
         </Message></ReceiveMessageResult><ResponseMetadata><RequestId>id</RequestId></ResponseMetadata>\
         </ReceiveMessageResponse>"
    );
}

#[test]
fn what_is_absent_is_left_out() {
    let none = Received::default();
    assert_eq!(
        text(answer(Protocol::Json, "ReceiveMessage", "id", &none)),
        "{}"
    );
    let xml = text(answer(Protocol::Query, "DeleteMessage", "id", &()));
    assert!(!xml.contains("DeleteMessageResult"), "{xml}");
    let deleted = model::Deleted {
        failed: vec![Failed {
            entry: "a".to_owned(),
            is_senders: true,
            code: "ReceiptHandleIsInvalid",
            message: "no".to_owned(),
        }],
        ..model::Deleted::default()
    };
    assert_eq!(
        text(answer(Protocol::Json, "DeleteMessageBatch", "id", &deleted)),
        r#"{"Successful":[],"Failed":[{"Id":"a","SenderFault":true,"Code":"ReceiptHandleIsInvalid","Message":"no"}]}"#
    );
}

#[test]
fn errors_have_both_names() {
    let json = refusal(Protocol::Json, "id", &Failure::no_queue());
    assert_eq!(json.status, StatusCode::BAD_REQUEST);
    assert_eq!(
        json.headers.get("x-amzn-query-error").unwrap(),
        "AWS.SimpleQueueService.NonExistentQueue;Sender"
    );
    assert_eq!(
        text(json),
        r#"{"__type":"com.amazonaws.sqs#QueueDoesNotExist","message":"The specified queue does not exist."}"#
    );
    let xml = text(refusal(Protocol::Query, "id", &Failure::no_queue()));
    assert!(
        xml.contains("<Type>Sender</Type><Code>AWS.SimpleQueueService.NonExistentQueue</Code>"),
        "{xml}"
    );
    assert!(
        xml.contains("does not exist for this wsdl version."),
        "{xml}"
    );
}

/// Reads `text` as every kind of input.
fn read_all(members: Members<'_>) {
    let _ = members.read::<model::CreateQueue<'_>>();
    let _ = members.read::<SendMessageBatch<'_>>();
    let _ = members.read::<model::ReceiveMessage<'_>>();
    let _ = members.read::<model::AddPermission<'_>>();
    let _ = members.read::<model::ChangeMessageVisibilityBatch<'_>>();
}

proptest! {
    #[test]
    fn arbitrary_json_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        read_all(Members::Json(&bytes));
    }

    #[test]
    fn json_with_a_byte_changed_never_panics(at in 0..JSON_BATCH.len(), byte in any::<u8>()) {
        let mut bytes = JSON_BATCH.as_bytes().to_vec();
        bytes[at] = byte;
        read_all(Members::Json(&bytes));
    }

    #[test]
    fn arbitrary_forms_never_panic(form in "[A-Za-z.&=%0-9+]{0,200}|\\PC{0,100}") {
        if let Ok(params) = Params::parse(&form, "QueueUrl=q") {
            read_all(Members::Query(&params));
        }
    }

    #[test]
    fn a_form_with_a_piece_cut_out_never_panics(from in 0..FORM_BATCH.len(), to in 0..FORM_BATCH.len()) {
        let (from, to) = (from.min(to), from.max(to));
        let form = format!("{}{}", &FORM_BATCH[..from], &FORM_BATCH[to..]);
        if let Ok(params) = Params::parse(&form, "") {
            read_all(Members::Query(&params));
        }
    }

    #[test]
    fn any_text_comes_back_from_json(body in "\\PC{1,100}") {
        let json = serde_json::json!({ "QueueUrl": "q", "MessageBody": body }).to_string();
        let read: model::SendMessage<'_> = Members::Json(json.as_bytes()).read().unwrap();
        prop_assert_eq!(&*read.body, body.as_str());
        let mut out = Vec::new();
        Body(body.clone().into()).json(&mut out);
        prop_assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), body);
    }
}
