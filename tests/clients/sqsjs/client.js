// @aws-sdk/client-sqs: queues, batches, attributes, waiting, FIFO. The SDK itself compares the digests of what it
// sends and gets. Every check is an assertion; a line `done NAME` follows each part.
'use strict';

// The packages are installed outside of the source tree; the harness names the folder.
const { createRequire } = require('module');
const load = createRequire(process.env.STENTOR_NODE_MODULES + '/');
const sdk = load('@aws-sdk/client-sqs');
const assert = require('assert');

const client = new sdk.SQSClient({
  endpoint: process.argv[2],
  region: 'us-east-1',
  credentials: { accessKeyId: 'AKIDTEST', secretAccessKey: 'secret' },
  maxAttempts: 1,
});
const ask = (name, members) => client.send(new sdk[name + 'Command'](members));
const take = async (QueueUrl, more = {}) => {
  const members = { QueueUrl, MaxNumberOfMessages: 10, MessageAttributeNames: ['All'], MessageSystemAttributeNames: ['All'] };
  return (await ask('ReceiveMessage', { ...members, ...more })).Messages || [];
};

async function messages() {
  const { QueueUrl } = await ask('CreateQueue', { QueueName: 'js', tags: { a: 'b' } });
  const Entries = [...Array(10).keys()].map((n) => ({
    Id: `e${n}`,
    MessageBody: `body ${n} \u00e9 <&>\r\n`,
    MessageAttributes: {
      n: { DataType: 'Number', StringValue: String(n) },
      b: { DataType: 'Binary', BinaryValue: Uint8Array.of(0, n, 255) },
    },
  }));
  const sent = await ask('SendMessageBatch', { QueueUrl, Entries });
  assert.strictEqual(sent.Successful.length, 10);
  const got = await take(QueueUrl);
  assert.deepStrictEqual(got.map((one) => one.Body), Entries.map((one) => one.MessageBody));
  assert.deepStrictEqual([...got[3].MessageAttributes.b.BinaryValue], [0, 3, 255]);
  assert.strictEqual(got[3].Attributes.SenderId, 'AKIDTEST');
  const handles = got.map((one, n) => ({ Id: `e${n}`, ReceiptHandle: one.ReceiptHandle }));
  const deleted = await ask('DeleteMessageBatch', { QueueUrl, Entries: handles });
  assert.strictEqual(deleted.Successful.length, 10);
  await assert.rejects(ask('SendMessage', { QueueUrl, MessageBody: '\u0000' }), { name: 'InvalidMessageContents' });
  await ask('DeleteQueue', { QueueUrl });
  await assert.rejects(ask('GetQueueUrl', { QueueName: 'js' }), (error) => error instanceof sdk.QueueDoesNotExist);
}

async function waiting() {
  const { QueueUrl } = await ask('CreateQueue', { QueueName: 'js-waiting' });
  const got = take(QueueUrl, { WaitTimeSeconds: 20 });
  await ask('SendMessage', { QueueUrl, MessageBody: 'late' });
  assert.deepStrictEqual((await got).map((one) => one.Body), ['late']);
}

async function fifo() {
  const Attributes = { FifoQueue: 'true', ContentBasedDeduplication: 'true' };
  const { QueueUrl } = await ask('CreateQueue', { QueueName: 'js.fifo', Attributes });
  for (const MessageBody of ['1', '2', '2', '3']) await ask('SendMessage', { QueueUrl, MessageBody, MessageGroupId: 'g' });
  const got = await take(QueueUrl);
  assert.deepStrictEqual(got.map((one) => one.Body), ['1', '2', '3']);
  for (const { ReceiptHandle } of got) await ask('DeleteMessage', { QueueUrl, ReceiptHandle });
}

(async () => {
  for (const part of [messages, waiting, fifo]) {
    await part();
    console.log(`done ${part.name}`);
  }
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
