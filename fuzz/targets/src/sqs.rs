//! SQS over a socket, in both of its protocols: any bytes are answered in HTTP, or the connection
//! ends.

use std::cell::RefCell;
use std::time::Duration;

use head_sqs::{Config, Parts, Sqs};
use net::http::HttpConfig;
use net::{Listener, Net};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::engine::Engine;

/// The longest that an answer may take: a receive may wait for twenty seconds.
const ANSWER_MAX: Duration = Duration::from_secs(30);

thread_local! {
    static SERVER: RefCell<Option<(Engine, Net, Listener)>> = const { RefCell::new(None) };
}

/// Plays one input.
pub fn run(data: &[u8]) {
    SERVER.with_borrow_mut(|server| {
        let (engine, _, listener) = server.get_or_insert_with(open);
        let addr = listener.addr();
        let answer = engine.runtime.block_on(async {
            let mut peer = TcpStream::connect(addr).await.unwrap();
            // The server may hang up in the middle.
            let _ = peer.write_all(data).await;
            let _ = peer.shutdown().await;
            let mut answer = Vec::new();
            let read = tokio::time::timeout(ANSWER_MAX, peer.read_to_end(&mut answer)).await;
            let _ = read.expect("an answer comes, and ends when the question does");
            answer
        });
        assert!(
            answer.is_empty() || answer.starts_with(b"HTTP/1."),
            "not an answer"
        );
    });
}

fn open() -> (Engine, Net, Listener) {
    let engine = Engine::new(false);
    let sqs = {
        let _inside = engine.runtime.enter();
        Sqs::new(Parts {
            config: Config::default(),
            credentials: None,
            broker: engine.broker.clone(),
            rng: engine.rng.clone(),
            tasks: engine.tasks.clone(),
            metrics: engine.metrics.clone(),
        })
    };
    let net = Net::new(net::Parts {
        clock: engine.clock.clone(),
        ledger: engine.ledger.clone(),
        tasks: engine.tasks.clone(),
        metrics: net::Metrics::new(&engine.metrics),
    });
    let config = net::Config::at("127.0.0.1:0");
    let (routes, http) = (sqs.unwrap().routes(), HttpConfig::default());
    let listener = engine
        .runtime
        .block_on(net.serve_http("sqs", routes, &config, &http));
    (engine, net, listener.unwrap().unwrap())
}

/// A POST to a path, with more headers and a body.
fn post(path: &str, more: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    let head = format!("POST {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{more}");
    format!("{head}content-length: {length}\r\n\r\n{body}").into_bytes()
}

/// A request of each kind, in both protocols.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = in_json();
    seeds.extend(in_query());
    seeds
}

fn in_json() -> Vec<Vec<u8>> {
    let json = |action: &str, body: &str| {
        post("/", &format!("x-amz-target: AmazonSQS.{action}\r\n"), body)
    };
    vec![
        json(
            "CreateQueue",
            r#"{"QueueName":"q","Attributes":{"VisibilityTimeout":"1"},"tags":{"a":"b"}}"#,
        ),
        json(
            "CreateQueue",
            r#"{"QueueName":"f.fifo","Attributes":{"FifoQueue":"true","ContentBasedDeduplication":"true"}}"#,
        ),
        json(
            "SendMessage",
            r#"{"QueueUrl":"http://x/0/q","MessageBody":"a\u00e4","DelaySeconds":0,"MessageAttributes":{"n":{"DataType":"Number","StringValue":"1"},"b":{"DataType":"Binary","BinaryValue":"AAE="}}}"#,
        ),
        json(
            "SendMessageBatch",
            r#"{"QueueUrl":"x/f.fifo","Entries":[{"Id":"1","MessageBody":"a","MessageGroupId":"g"},{"Id":"2","MessageBody":"b","MessageGroupId":"h"}]}"#,
        ),
        json(
            "ReceiveMessage",
            r#"{"QueueUrl":"x/q","MaxNumberOfMessages":10,"VisibilityTimeout":0,"AttributeNames":["All"],"MessageAttributeNames":["n.*"]}"#,
        ),
        json(
            "DeleteMessageBatch",
            r#"{"QueueUrl":"x/q","Entries":[{"Id":"1","ReceiptHandle":"AQ"}]}"#,
        ),
        json(
            "ChangeMessageVisibility",
            r#"{"QueueUrl":"x/q","ReceiptHandle":"AQ","VisibilityTimeout":0}"#,
        ),
        json(
            "SetQueueAttributes",
            r#"{"QueueUrl":"x/q","Attributes":{"RedrivePolicy":"{\"deadLetterTargetArn\":\"arn:aws:sqs:us-east-1:0:q\",\"maxReceiveCount\":1}","Policy":"{}"}}"#,
        ),
        json(
            "GetQueueAttributes",
            r#"{"QueueUrl":"x/q","AttributeNames":["All"]}"#,
        ),
        json(
            "AddPermission",
            r#"{"QueueUrl":"x/q","Label":"l","AWSAccountIds":["111111111111"],"Actions":["*"]}"#,
        ),
        json(
            "StartMessageMoveTask",
            r#"{"SourceArn":"arn:aws:sqs:us-east-1:0:q"}"#,
        ),
        json(
            "ListMessageMoveTasks",
            r#"{"SourceArn":"arn:aws:sqs:us-east-1:0:q"}"#,
        ),
    ]
}

fn in_query() -> Vec<Vec<u8>> {
    vec![
        post(
            "/",
            "",
            "Action=CreateQueue&QueueName=r&Attribute.1.Name=DelaySeconds&Attribute.1.Value=1&Tag.1.Key=a&Tag.1.Value=b",
        ),
        post(
            "/0/q",
            "",
            "Action=SendMessage&MessageBody=a%26&MessageAttribute.1.Name=n&MessageAttribute.1.Value.DataType=String&MessageAttribute.1.Value.StringValue=v",
        ),
        post("/0/q?Action=ReceiveMessage&AttributeName.1=All", "", ""),
        post(
            "/0/q",
            "authorization: AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/sqs/aws4_request, SignedHeaders=host, Signature=0\r\n",
            "Action=ListQueues&MaxResults=1",
        ),
    ]
}
