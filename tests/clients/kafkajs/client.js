// KafkaJS: see ../README.md for the protocol.
'use strict';

// The packages are installed outside of the source tree; the harness names the folder.
const { createRequire } = require('module');
const load = createRequire(process.env.STENTOR_NODE_MODULES + '/');
const { Kafka, CompressionTypes, CompressionCodecs, ConfigResourceTypes, logLevel } = load('kafkajs');
const readline = require('readline');

const emit = (e, fields = {}) => process.stdout.write(JSON.stringify({ ...fields, e }) + '\n');
const enc = (data) => (data === null || data === undefined ? null : data.toString('base64'));
const dec = (text) => (text === null || text === undefined ? null : Buffer.from(text, 'base64'));

function codecs() {
  CompressionCodecs[CompressionTypes.Snappy] = load('kafkajs-snappy');
  const lz4 = load('lz4js');
  CompressionCodecs[CompressionTypes.LZ4] = () => ({
    compress: async (encoder) => Buffer.from(lz4.compress(encoder.buffer)),
    decompress: async (buffer) => Buffer.from(lz4.decompress(buffer)),
  });
  const { ZstdCodec } = load('zstd-codec');
  const zstd = new Promise((resolve) => ZstdCodec.run((z) => resolve(new z.Streaming())));
  CompressionCodecs[CompressionTypes.ZSTD] = () => ({
    compress: async (encoder) => Buffer.from((await zstd).compress(encoder.buffer)),
    decompress: async (buffer) => Buffer.from((await zstd).decompress(buffer)),
  });
}

const NAMES = { none: 0, gzip: 1, snappy: 2, lz4: 3, zstd: 4 };

function kafka(options) {
  return new Kafka({
    clientId: 'kafkajs',
    brokers: [options.bootstrap],
    logLevel: logLevel.NOTHING,
    retry: { initialRetryTime: 100, retries: 30, maxRetryTime: 2000 },
  });
}

// KafkaJS wants an array of values for a header that occurs twice, and gives one back.
function headersIn(list) {
  const headers = {};
  for (const [name, value] of list || []) {
    const data = dec(value);
    if (name in headers) headers[name] = [].concat(headers[name], [data]);
    else headers[name] = data;
  }
  return headers;
}

function headersOut(headers) {
  const list = [];
  for (const [name, value] of Object.entries(headers || {})) {
    for (const data of Array.isArray(value) ? value : [value]) list.push([name, enc(data)]);
  }
  return list;
}

async function produce(options) {
  const producer = kafka(options).producer({
    idempotent: options.idempotent ?? true,
    maxInFlightRequests: 1,
  });
  await producer.connect();
  let batch = [];
  const flush = async () => {
    const sending = batch;
    batch = [];
    if (sending.length === 0) return;
    const messages = sending.map((r) => ({
      key: dec(r.k),
      value: dec(r.v),
      headers: headersIn(r.h),
      partition: r.p ?? undefined,
      timestamp: r.t ? String(r.t) : undefined,
    }));
    try {
      const answer = await producer.send({
        topic: options.topic,
        acks: -1,
        compression: NAMES[options.compression || 'none'],
        messages,
      });
      const next = new Map(answer.map((a) => [a.partition, Number(a.baseOffset)]));
      for (const r of sending) {
        const known = r.p !== undefined && r.p !== null && next.has(r.p);
        emit('ack', { i: r.i, p: r.p, o: known ? next.get(r.p) : null });
        if (known) next.set(r.p, next.get(r.p) + 1);
      }
    } catch (error) {
      for (const r of sending) emit('fail', { i: r.i, error: String(error) });
    }
  };
  for await (const line of readline.createInterface({ input: process.stdin })) {
    if (!line) continue;
    batch.push(JSON.parse(line));
    if (batch.length >= (options.batch || 200)) await flush();
  }
  await flush();
  await producer.disconnect();
  emit('done', { left: 0 });
}

async function consume(options) {
  const client = kafka(options);
  const group = options.group || `reader-${process.pid}-${Date.now()}`;
  const consumer = client.consumer({ groupId: group, maxWaitTimeInMs: 100, rebalanceTimeout: 30000 });
  await consumer.connect();
  await consumer.subscribe({ topics: [options.topic], fromBeginning: true });
  const next = new Map();
  consumer.on(consumer.events.GROUP_JOIN, ({ payload }) =>
    emit('assigned', { p: payload.memberAssignment[options.topic] || [] }));
  consumer.on(consumer.events.REBALANCING, () => {
    next.clear();
    emit('assigned', { p: [] });
  });
  await consumer.run({
    autoCommit: false,
    eachMessage: async ({ partition, message }) => {
      next.set(partition, BigInt(message.offset) + 1n);
      emit('record', {
        p: partition,
        o: Number(message.offset),
        k: enc(message.key),
        v: enc(message.value),
        h: headersOut(message.headers),
        t: Number(message.timestamp),
      });
    },
  });
  for await (const line of readline.createInterface({ input: process.stdin })) {
    if (line === 'commit') {
      try {
        await consumer.commitOffsets([...next].map(([partition, offset]) => ({
          topic: options.topic, partition, offset: offset.toString(),
        })));
        emit('committed');
      } catch (error) {
        emit('error', { error: String(error) });
      }
    } else if (line === 'quit') break;
  }
  await consumer.disconnect();
  emit('closed');
}

async function until(work, message, seconds = 20) {
  const deadline = Date.now() + seconds * 1000;
  while (!(await work())) {
    if (Date.now() > deadline) throw new Error(message);
  }
}

function expect(condition, message) {
  if (!condition) throw new Error(message);
}

async function admin(options) {
  const { topic, group } = options;
  const client = kafka(options);
  const admin = client.admin();
  await admin.connect();
  const resource = { type: ConfigResourceTypes.TOPIC, name: topic };
  const partitions = async () =>
    (await admin.fetchTopicMetadata({ topics: [topic] })).topics[0].partitions;
  const retention = async () => {
    const answer = await admin.describeConfigs({ resources: [resource], includeSynonyms: false });
    return answer.resources[0].configEntries.find((e) => e.configName === 'retention.ms').configValue;
  };
  const steps = {
    'create-topic': async () => expect(await admin.createTopics({
      topics: [{ topic, numPartitions: 3, configEntries: [{ name: 'retention.ms', value: '86400000' }] }],
    }), 'already there'),
    'create-topic-again': async () =>
      expect(!(await admin.createTopics({ topics: [{ topic, numPartitions: 3 }] })), 'created twice'),
    metadata: async () => until(async () => (await partitions()).length === 3, 'three partitions'),
    'list-topics': async () => expect((await admin.listTopics()).includes(topic), 'not listed'),
    'describe-configs': async () => expect((await retention()) === '86400000', 'retention'),
    'alter-configs': async () => {
      await admin.alterConfigs({ resources: [{ ...resource, configEntries: [{ name: 'retention.ms', value: '3600000' }] }] });
      await until(async () => (await retention()) === '3600000', 'the new value does not show');
    },
    'create-partitions': async () => {
      await admin.createPartitions({ topicPartitions: [{ topic, count: 5 }] });
      await until(async () => (await partitions()).length === 5, 'five partitions');
    },
    'group-work': async () => {
      const producer = client.producer();
      await producer.connect();
      const messages = [...Array(10).keys()].map((i) => ({ value: String(i), partition: 0 }));
      await producer.send({ topic, messages });
      await producer.disconnect();
      await admin.setOffsets({ groupId: group, topic, partitions: [{ partition: 0, offset: '10' }] });
    },
    'list-groups': async () =>
      expect((await admin.listGroups()).groups.some((g) => g.groupId === group), 'not listed'),
    'describe-group': async () =>
      expect((await admin.describeGroups([group])).groups[0].groupId === group, 'not described'),
    'group-offsets': async () => {
      const answer = await admin.fetchOffsets({ groupId: group, topics: [topic] });
      expect(answer[0].partitions.find((p) => p.partition === 0).offset === '10', JSON.stringify(answer));
    },
    'topic-offsets': async () => {
      const answer = await admin.fetchTopicOffsets(topic);
      expect(answer.find((p) => p.partition === 0).high === '10', JSON.stringify(answer));
    },
    'delete-records': async () => {
      await admin.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: '4' }] });
      const answer = await admin.fetchTopicOffsets(topic);
      expect(answer.find((p) => p.partition === 0).low === '4', JSON.stringify(answer));
    },
    'delete-group': async () => admin.deleteGroups([group]),
    'describe-cluster': async () => expect((await admin.describeCluster()).brokers.length >= 1, 'none'),
    'delete-topic': async () => {
      await admin.deleteTopics({ topics: [topic] });
      await until(async () => !(await admin.listTopics()).includes(topic), 'still listed');
    },
  };
  for (const [op, work] of Object.entries(steps)) {
    try {
      await work();
      emit('admin', { op, ok: true, detail: '' });
    } catch (error) {
      emit('admin', { op, ok: false, detail: String(error) });
    }
  }
  await admin.disconnect();
  emit('done');
}

codecs();
const work = { produce, consume, admin }[process.argv[2]];
work(JSON.parse(process.argv[3])).then(
  () => process.exit(0),
  (error) => {
    emit('error', { error: String(error && error.stack) });
    process.exit(1);
  },
);
