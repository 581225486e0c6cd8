//! The heads: one line per protocol. A new protocol is wired here and nowhere else.

use broker::Broker;
use net::{Listen, Listener, Net};

use super::Ground;
use crate::config::Config;
use crate::config::layers::read_text;
use crate::exit::{Exit, Failure};

/// Opens every head's listener.
pub(super) async fn listen(
    config: &Config,
    ground: &Ground,
    broker: &Broker,
    net: &Net,
) -> Result<Vec<Listener>, Failure> {
    let mut listeners = Vec::new();
    let kafka = &config.kafka;
    let head = head_kafka::Kafka::new(
        kafka.head.clone(),
        broker.clone(),
        ground.rng.clone(),
        &ground.metrics,
    );
    let head = head.map_err(|why| Failure::new(Exit::Config, why))?;
    listeners.extend(net.listen(head, &kafka.listener).await?);
    let amqp = &config.amqp;
    if amqp.listener.listen != Some(net::Listen::Off) {
        let head = head_amqp::Amqp::new(head_amqp::Parts {
            config: amqp.head.clone(),
            broker: broker.clone(),
            rng: ground.rng.clone(),
            ledger: ground.ledger.clone(),
            tasks: ground.tasks.clone(),
            metrics: ground.metrics.clone(),
        });
        let head = head.map_err(|why| Failure::new(Exit::Config, why))?;
        head.prepare().await?;
        listeners.extend(net.listen(head, &amqp.listener).await?);
    }
    let http = &config.http;
    let token = match &http.head.token_file {
        Some(path) => Some(read_text(path)?.trim().to_owned()),
        None => None,
    };
    let mut head = http.head.clone();
    if let Some(Listen::At(address)) = &http.listener.listen {
        head.hosts.push(net::http::host_of(address).to_owned());
    }
    let admin = head_admin::Admin::new(head_admin::Parts {
        config: head,
        token,
        broker: broker.clone(),
        metrics: ground.metrics.clone(),
    });
    listeners.extend(
        net.serve_http("http", admin.routes(), &http.listener, &http.http)
            .await?,
    );
    let sqs = &config.sqs;
    let head = sqs_head(config, ground, broker)?;
    listeners.extend(
        net.serve_http("sqs", head.routes(), &sqs.listener, &sqs.http)
            .await?,
    );
    Ok(listeners)
}

fn sqs_head(config: &Config, ground: &Ground, broker: &Broker) -> Result<head_sqs::Sqs, Failure> {
    let sqs = &config.sqs;
    let credentials = match &sqs.head.credentials_file {
        Some(path) => Some(read_text(path)?),
        None => None,
    };
    let mut head = sqs.head.clone();
    if let Some(Listen::At(address)) = &sqs.listener.listen {
        head.hosts.push(net::http::host_of(address).to_owned());
    }
    let parts = head_sqs::Parts {
        config: head,
        credentials,
        broker: broker.clone(),
        rng: ground.rng.clone(),
        tasks: ground.tasks.clone(),
        metrics: ground.metrics.clone(),
    };
    head_sqs::Sqs::new(parts).map_err(|why| Failure::new(Exit::Config, why))
}
