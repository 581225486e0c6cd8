// The AWS SDK for Java, version 2: queues, batches, attributes, waiting, FIFO. The SDK itself compares the digests of
// what it sends and gets. A line `done NAME` follows each part.

import java.net.URI;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import software.amazon.awssdk.auth.credentials.AwsBasicCredentials;
import software.amazon.awssdk.auth.credentials.StaticCredentialsProvider;
import software.amazon.awssdk.core.SdkBytes;
import software.amazon.awssdk.regions.Region;
import software.amazon.awssdk.services.sqs.SqsClient;
import software.amazon.awssdk.services.sqs.model.DeleteMessageBatchRequestEntry;
import software.amazon.awssdk.services.sqs.model.Message;
import software.amazon.awssdk.services.sqs.model.MessageAttributeValue;
import software.amazon.awssdk.services.sqs.model.MessageSystemAttributeName;
import software.amazon.awssdk.services.sqs.model.QueueAttributeName;
import software.amazon.awssdk.services.sqs.model.QueueDoesNotExistException;
import software.amazon.awssdk.services.sqs.model.SendMessageBatchRequestEntry;

public final class SqsClientTest {
    static SqsClient sqs;

    static void check(boolean good, Object what) {
        if (!good) {
            throw new AssertionError(what);
        }
    }

    static List<Message> take(String url, int wait) {
        return sqs.receiveMessage(r -> r.queueUrl(url).maxNumberOfMessages(10).waitTimeSeconds(wait)
                .messageAttributeNames("All").messageSystemAttributeNames(MessageSystemAttributeName.ALL)).messages();
    }

    static void messages() {
        String url = sqs.createQueue(r -> r.queueName("java")).queueUrl();
        List<SendMessageBatchRequestEntry> entries = new ArrayList<>();
        for (int n = 0; n < 10; n++) {
            entries.add(SendMessageBatchRequestEntry.builder().id("e" + n).messageBody("body " + n + " \u00e9 <&>\r\n")
                    .messageAttributes(Map.of(
                            "n", MessageAttributeValue.builder().dataType("Number").stringValue("" + n).build(),
                            "b", MessageAttributeValue.builder().dataType("Binary")
                                    .binaryValue(SdkBytes.fromByteArray(new byte[] {0, (byte) n, -1})).build()))
                    .build());
        }
        check(sqs.sendMessageBatch(r -> r.queueUrl(url).entries(entries)).successful().size() == 10, "sent");
        List<Message> got = take(url, 0);
        check(got.size() == 10, got);
        List<DeleteMessageBatchRequestEntry> handles = new ArrayList<>();
        for (int n = 0; n < 10; n++) {
            Message one = got.get(n);
            check(one.body().equals(entries.get(n).messageBody()), one);
            check(one.messageAttributes().equals(entries.get(n).messageAttributes()), one);
            handles.add(DeleteMessageBatchRequestEntry.builder().id("e" + n).receiptHandle(one.receiptHandle()).build());
        }
        check(sqs.deleteMessageBatch(r -> r.queueUrl(url).entries(handles)).successful().size() == 10, "deleted");
        sqs.deleteQueue(r -> r.queueUrl(url));
        try {
            sqs.getQueueUrl(r -> r.queueName("java"));
            throw new AssertionError("the queue is still there");
        } catch (QueueDoesNotExistException expected) {
            check(expected.awsErrorDetails().errorCode().equals("AWS.SimpleQueueService.NonExistentQueue"), expected);
        }
    }

    static void waiting() {
        String url = sqs.createQueue(r -> r.queueName("java-waiting")).queueUrl();
        CompletableFuture<List<Message>> got = CompletableFuture.supplyAsync(() -> take(url, 20));
        sqs.sendMessage(r -> r.queueUrl(url).messageBody("late"));
        check(got.join().get(0).body().equals("late"), got);
    }

    static void fifo() {
        String url = sqs.createQueue(r -> r.queueName("java.fifo").attributes(Map.of(
                QueueAttributeName.FIFO_QUEUE, "true", QueueAttributeName.CONTENT_BASED_DEDUPLICATION, "true"))).queueUrl();
        for (String body : List.of("1", "2", "2", "3")) {
            sqs.sendMessage(r -> r.queueUrl(url).messageBody(body).messageGroupId("g"));
        }
        List<Message> got = take(url, 0);
        check(got.stream().map(Message::body).toList().equals(List.of("1", "2", "3")), got);
        for (Message one : got) {
            sqs.deleteMessage(r -> r.queueUrl(url).receiptHandle(one.receiptHandle()));
        }
    }

    public static void main(String[] arguments) {
        sqs = SqsClient.builder().endpointOverride(URI.create(arguments[0])).region(Region.US_EAST_1)
                .credentialsProvider(StaticCredentialsProvider.create(AwsBasicCredentials.create("AKIDTEST", "secret")))
                .build();
        messages();
        System.out.println("done messages");
        waiting();
        System.out.println("done waiting");
        fifo();
        System.out.println("done fifo");
    }
}
