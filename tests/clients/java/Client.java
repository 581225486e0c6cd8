// Apache Kafka's own Java client: see ../README.md for the protocol.

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Base64;
import java.util.Collection;
import java.util.List;
import java.util.Properties;
import java.util.TreeSet;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.PartitionInfo;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeaders;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

public final class Client {
    static final ObjectMapper JSON = new ObjectMapper();
    static final PrintStream OUT = new PrintStream(System.out, false, StandardCharsets.UTF_8);

    static ObjectNode event(String kind) {
        return JSON.createObjectNode().put("e", kind);
    }

    static void emit(ObjectNode node) {
        synchronized (OUT) {
            OUT.print(node + "\n");
            OUT.flush();
        }
    }

    static String enc(byte[] data) {
        return data == null ? null : Base64.getEncoder().encodeToString(data);
    }

    static byte[] dec(JsonNode node) {
        return node == null || node.isNull() ? null : Base64.getDecoder().decode(node.asText());
    }

    static String text(JsonNode options, String name, String otherwise) {
        return options.hasNonNull(name) ? options.get(name).asText() : otherwise;
    }

    static BufferedReader stdin() {
        return new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    }

    static void extra(JsonNode options, Properties config) {
        if (options.has("extra")) {
            options.get("extra").fields().forEachRemaining(f -> config.put(f.getKey(), f.getValue().asText()));
        }
    }

    static void produce(JsonNode options) throws Exception {
        Properties config = new Properties();
        config.put("bootstrap.servers", options.get("bootstrap").asText());
        config.put("acks", text(options, "acks", "all"));
        config.put("enable.idempotence", text(options, "idempotent", "true"));
        config.put("compression.type", text(options, "compression", "none"));
        config.put("linger.ms", text(options, "linger", "5"));
        config.put("delivery.timeout.ms", text(options, "timeout_ms", "120000"));
        extra(options, config);
        var producer = new KafkaProducer<>(config, new ByteArraySerializer(), new ByteArraySerializer());
        AtomicLong left = new AtomicLong();
        String topic = options.get("topic").asText();
        BufferedReader lines = stdin();
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            if (line.isEmpty()) continue;
            JsonNode r = JSON.readTree(line);
            RecordHeaders headers = new RecordHeaders();
            for (JsonNode h : r.path("h")) headers.add(h.get(0).asText(), dec(h.get(1)));
            Integer partition = r.hasNonNull("p") ? r.get("p").asInt() : null;
            Long timestamp = r.hasNonNull("t") ? r.get("t").asLong() : null;
            long i = r.get("i").asLong();
            left.incrementAndGet();
            producer.send(
                new ProducerRecord<>(topic, partition, timestamp, dec(r.get("k")), dec(r.get("v")), headers),
                (meta, error) -> {
                    left.decrementAndGet();
                    emit(error != null
                        ? event("fail").put("i", i).put("error", error.toString())
                        : event("ack").put("i", i).put("p", meta.partition()).put("o", meta.offset()));
                });
        }
        producer.flush();
        producer.close();
        emit(event("done").put("left", left.get()));
    }

    static void assigned(TreeSet<Integer> held) {
        ArrayNode list = JSON.createArrayNode();
        held.forEach(list::add);
        ObjectNode event = event("assigned");
        event.set("p", list);
        emit(event);
    }

    static void record(ConsumerRecord<byte[], byte[]> r) {
        ArrayNode headers = JSON.createArrayNode();
        for (Header h : r.headers()) headers.addArray().add(h.key()).add(enc(h.value()));
        ObjectNode event = event("record").put("p", r.partition()).put("o", r.offset());
        event.put("k", enc(r.key())).put("v", enc(r.value())).put("t", r.timestamp());
        event.set("h", headers);
        emit(event);
    }

    static LinkedBlockingQueue<String> commands() {
        LinkedBlockingQueue<String> queue = new LinkedBlockingQueue<>();
        Thread reader = new Thread(() -> {
            try {
                BufferedReader lines = stdin();
                for (String line = lines.readLine(); line != null; line = lines.readLine()) queue.add(line);
            } catch (java.io.IOException gone) {
                // The harness went away: the same as `quit`.
            }
            queue.add("quit");
        });
        reader.setDaemon(true);
        reader.start();
        return queue;
    }

    static void consume(JsonNode options) throws Exception {
        String topic = options.get("topic").asText();
        boolean inGroup = options.hasNonNull("group");
        Properties config = new Properties();
        config.put("bootstrap.servers", options.get("bootstrap").asText());
        if (inGroup) config.put("group.id", options.get("group").asText());
        config.put("enable.auto.commit", "false");
        config.put("auto.offset.reset", "earliest");
        if (options.hasNonNull("instance")) config.put("group.instance.id", options.get("instance").asText());
        if (options.hasNonNull("assignor")) {
            String name = options.get("assignor").asText().equals("cooperative-sticky")
                ? "org.apache.kafka.clients.consumer.CooperativeStickyAssignor"
                : "org.apache.kafka.clients.consumer.RangeAssignor";
            config.put("partition.assignment.strategy", name);
        }
        extra(options, config);
        var consumer = new KafkaConsumer<>(config, new ByteArrayDeserializer(), new ByteArrayDeserializer());
        TreeSet<Integer> held = new TreeSet<>();
        if (inGroup) {
            consumer.subscribe(List.of(topic), new ConsumerRebalanceListener() {
                public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
                    partitions.forEach(p -> held.add(p.partition()));
                    assigned(held);
                }

                public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
                    partitions.forEach(p -> held.remove(p.partition()));
                    assigned(held);
                }
            });
        } else {
            List<TopicPartition> all = new ArrayList<>();
            for (PartitionInfo p : consumer.partitionsFor(topic)) {
                all.add(new TopicPartition(topic, p.partition()));
                held.add(p.partition());
            }
            consumer.assign(all);
            consumer.seekToBeginning(all);
            assigned(held);
        }
        LinkedBlockingQueue<String> commands = commands();
        while (true) {
            String command = commands.poll();
            if ("commit".equals(command)) {
                try {
                    consumer.commitSync();
                    emit(event("committed"));
                } catch (Exception error) {
                    emit(event("error").put("error", error.toString()));
                }
            } else if ("quit".equals(command)) {
                break;
            }
            for (ConsumerRecord<byte[], byte[]> r : consumer.poll(Duration.ofMillis(50))) record(r);
        }
        consumer.close();
        emit(event("closed"));
    }

    public static void main(String[] args) throws Exception {
        JsonNode options = JSON.readTree(args[1]);
        switch (args[0]) {
            case "produce" -> produce(options);
            case "consume" -> consume(options);
            case "admin" -> ClientAdmin.run(options);
            default -> throw new IllegalArgumentException(args[0]);
        }
    }
}
