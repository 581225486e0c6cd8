// The Java admin client, one step per operation.

import com.fasterxml.jackson.databind.JsonNode;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.TopicExistsException;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

final class ClientAdmin {
    static void step(String name, Callable<Object> work) {
        try {
            Client.emit(Client.event("admin").put("op", name).put("ok", true).put("detail", "" + work.call()));
        } catch (Throwable error) {
            Client.emit(Client.event("admin").put("op", name).put("ok", false).put("detail", error.toString()));
        }
    }

    static void expect(boolean condition, String message) {
        if (!condition) throw new AssertionError(message);
    }

    static Object until(Callable<Boolean> work, String message) throws Exception {
        long deadline = System.nanoTime() + Duration.ofSeconds(20).toNanos();
        while (!work.call()) expect(System.nanoTime() < deadline, message);
        return "";
    }

    static void run(JsonNode options) throws Exception {
        String bootstrap = options.get("bootstrap").asText();
        String topic = options.get("topic").asText();
        String group = options.get("group").asText();
        Properties config = new Properties();
        config.put("bootstrap.servers", bootstrap);
        Admin admin = Admin.create(config);
        ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        TopicPartition first = new TopicPartition(topic, 0);
        Callable<String> retention = () ->
            admin.describeConfigs(List.of(resource)).all().get().get(resource).get("retention.ms").value();
        Callable<Integer> partitions = () ->
            admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic).partitions().size();

        step("create-topic", () -> admin.createTopics(List.of(
            new NewTopic(topic, 3, (short) 1).configs(Map.of("retention.ms", "86400000")))).all().get());
        step("create-topic-again", () -> {
            try {
                admin.createTopics(List.of(new NewTopic(topic, 3, (short) 1))).all().get();
            } catch (ExecutionException error) {
                expect(error.getCause() instanceof TopicExistsException, error.toString());
                return error.getCause();
            }
            throw new AssertionError("the second creation succeeded");
        });
        step("describe-topic", () -> until(() -> partitions.call() == 3, "three partitions"));
        step("list-topics", () -> {
            expect(admin.listTopics().names().get().contains(topic), "not listed");
            return "";
        });
        step("describe-configs", () -> {
            expect(retention.call().equals("86400000"), retention.call());
            return "";
        });
        step("alter-configs", () -> {
            admin.incrementalAlterConfigs(Map.of(resource, List.of(new AlterConfigOp(
                new ConfigEntry("retention.ms", "3600000"), AlterConfigOp.OpType.SET)))).all().get();
            return until(() -> retention.call().equals("3600000"), "the new value does not show");
        });
        step("create-partitions", () -> {
            admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(5))).all().get();
            return until(() -> partitions.call() == 5, "five partitions");
        });
        step("group-work", () -> {
            try (var producer = new KafkaProducer<>(config, new ByteArraySerializer(), new ByteArraySerializer())) {
                for (int i = 0; i < 10; i++) producer.send(new ProducerRecord<>(topic, 0, null, new byte[] {(byte) i}));
            }
            Properties reading = new Properties();
            reading.putAll(config);
            reading.put("group.id", group);
            reading.put("auto.offset.reset", "earliest");
            reading.put("enable.auto.commit", "false");
            try (var consumer = new KafkaConsumer<>(reading, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
                consumer.subscribe(List.of(topic));
                int[] seen = {0};
                until(() -> (seen[0] += consumer.poll(Duration.ofMillis(500)).count()) >= 10, "ten records");
                consumer.commitSync();
            }
            return "";
        });
        step("list-groups", () -> {
            expect(admin.listGroups().all().get().stream().anyMatch(g -> g.groupId().equals(group)), "not listed");
            return "";
        });
        step("describe-group", () ->
            admin.describeConsumerGroups(List.of(group)).all().get().get(group).groupState());
        step("group-offsets", () -> {
            var offsets = admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get();
            expect(offsets.get(first).offset() == 10, offsets.toString());
            return "";
        });
        step("list-offsets", () -> {
            long end = admin.listOffsets(Map.of(first, OffsetSpec.latest())).all().get().get(first).offset();
            long start = admin.listOffsets(Map.of(first, OffsetSpec.earliest())).all().get().get(first).offset();
            long newest = admin.listOffsets(Map.of(first, OffsetSpec.maxTimestamp())).all().get().get(first).offset();
            expect(end == 10 && start == 0 && newest >= 0, start + " " + end + " " + newest);
            return "";
        });
        step("delete-records", () -> {
            var answer = admin.deleteRecords(Map.of(first, RecordsToDelete.beforeOffset(4))).all().get();
            long start = admin.listOffsets(Map.of(first, OffsetSpec.earliest())).all().get().get(first).offset();
            expect(start == 4, "" + start);
            return answer == null ? "" : "";
        });
        step("describe-producers", () ->
            admin.describeProducers(List.of(first)).partitionResult(first).get().activeProducers().size());
        step("describe-log-dirs", () -> admin.describeLogDirs(List.of(1)).allDescriptions().get().size());
        step("describe-cluster", () -> {
            expect(admin.describeCluster().nodes().get().size() >= 1, "no node");
            return admin.describeCluster().clusterId().get();
        });
        step("delete-group-offsets", () ->
            admin.deleteConsumerGroupOffsets(group, Set.of(first)).all().get());
        step("delete-group", () -> admin.deleteConsumerGroups(List.of(group)).all().get());
        step("delete-topic", () -> {
            admin.deleteTopics(List.of(topic)).all().get();
            return until(() -> !admin.listTopics().names().get().contains(topic), "still listed");
        });
        admin.close();
        Client.emit(Client.event("done"));
    }
}
