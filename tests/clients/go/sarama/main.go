// sarama: see ../../README.md for the protocol.
package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/IBM/sarama"

	. "stentor.dev/tests/clients/go/lines"
)

func must[T any](value T, err error) T {
	if err != nil {
		Emit(Event{E: "error", Error: err.Error()})
		panic(err)
	}
	return value
}

func config(o Options) *sarama.Config {
	c := sarama.NewConfig()
	c.Version = sarama.V4_0_0_0
	c.Metadata.Retry.Max = 200
	c.Metadata.Retry.Backoff = 250 * time.Millisecond
	return c
}

func produce(o Options) {
	c := config(o)
	c.Producer.RequiredAcks = sarama.WaitForAll
	c.Producer.Return.Successes = true
	c.Producer.Idempotent = o.Idempotent == nil || *o.Idempotent
	c.Net.MaxOpenRequests = 1
	c.Producer.Retry.Max = 200
	c.Producer.Retry.Backoff = 250 * time.Millisecond
	c.Producer.Partitioner = sarama.NewManualPartitioner
	c.Producer.Flush.Frequency = 5 * time.Millisecond
	switch o.Compression {
	case "gzip":
		c.Producer.Compression = sarama.CompressionGZIP
	case "snappy":
		c.Producer.Compression = sarama.CompressionSnappy
	case "lz4":
		c.Producer.Compression = sarama.CompressionLZ4
	case "zstd":
		c.Producer.Compression = sarama.CompressionZSTD
	}
	producer := must(sarama.NewAsyncProducer([]string{o.Bootstrap}, c))
	var wait sync.WaitGroup
	wait.Add(2)
	go func() {
		defer wait.Done()
		for m := range producer.Successes() {
			Emit(Event{E: "ack", I: m.Metadata.(int64), P: m.Partition, O: m.Offset})
		}
	}()
	go func() {
		defer wait.Done()
		for e := range producer.Errors() {
			Emit(Event{E: "fail", I: e.Msg.Metadata.(int64), Error: e.Err.Error()})
		}
	}()
	Records(func(in Record) {
		m := &sarama.ProducerMessage{Topic: o.Topic, Metadata: in.I}
		if in.K != nil {
			m.Key = sarama.ByteEncoder(in.K)
		}
		if in.V != nil {
			m.Value = sarama.ByteEncoder(in.V)
		}
		if in.P != nil {
			m.Partition = *in.P
		}
		if in.T != nil {
			m.Timestamp = time.UnixMilli(*in.T)
		}
		for _, h := range in.H {
			m.Headers = append(m.Headers, sarama.RecordHeader{Key: []byte(h.Name), Value: h.Value})
		}
		producer.Input() <- m
	})
	producer.AsyncClose()
	wait.Wait()
	Emit(Event{E: "done"})
}

func emit(m *sarama.ConsumerMessage) {
	e := Event{E: "record", P: m.Partition, O: m.Offset, K: m.Key, V: m.Value, T: m.Timestamp.UnixMilli()}
	for _, h := range m.Headers {
		e.H = append(e.H, Header{Name: string(h.Key), Value: h.Value})
	}
	Emit(e)
}

// member is a group member; commits are asked for from the command loop.
type member struct {
	topic   string
	lock    sync.Mutex
	session sarama.ConsumerGroupSession
}

func (m *member) Setup(s sarama.ConsumerGroupSession) error {
	m.lock.Lock()
	m.session = s
	m.lock.Unlock()
	list := s.Claims()[m.topic]
	if list == nil {
		list = []int32{}
	}
	Emit(Event{E: "assigned", P: list})
	return nil
}

func (m *member) Cleanup(sarama.ConsumerGroupSession) error {
	m.lock.Lock()
	m.session = nil
	m.lock.Unlock()
	Emit(Event{E: "assigned", P: []int32{}})
	return nil
}

func (m *member) ConsumeClaim(s sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for message := range claim.Messages() {
		emit(message)
		s.MarkMessage(message, "")
	}
	return nil
}

func consume(o Options) {
	c := config(o)
	c.Consumer.Offsets.Initial = sarama.OffsetOldest
	c.Consumer.Offsets.AutoCommit.Enable = false
	c.Consumer.MaxWaitTime = 100 * time.Millisecond
	commands := Commands()
	if o.Group == "" {
		consumer := must(sarama.NewConsumer([]string{o.Bootstrap}, c))
		partitions := must(consumer.Partitions(o.Topic))
		for _, p := range partitions {
			reader := must(consumer.ConsumePartition(o.Topic, p, sarama.OffsetOldest))
			go func() {
				for m := range reader.Messages() {
					emit(m)
				}
			}()
		}
		Emit(Event{E: "assigned", P: partitions})
		for <-commands != "quit" {
		}
		Emit(Event{E: "closed"})
		return
	}
	group := must(sarama.NewConsumerGroup([]string{o.Bootstrap}, o.Group, c))
	handler := &member{topic: o.Topic}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			if err := group.Consume(ctx, []string{o.Topic}, handler); err != nil {
				Emit(Event{E: "warning", Error: err.Error()})
			}
		}
	}()
	for command := range commands {
		if command == "commit" {
			handler.lock.Lock()
			if handler.session != nil {
				handler.session.Commit()
				Emit(Event{E: "committed"})
			} else {
				Emit(Event{E: "error", Error: "no session"})
			}
			handler.lock.Unlock()
		}
		if command == "quit" {
			break
		}
	}
	cancel()
	<-done
	group.Close()
	Emit(Event{E: "closed"})
}

func admin(o Options) {
	c := config(o)
	adm := must(sarama.NewClusterAdmin([]string{o.Bootstrap}, c))
	day, hour := "86400000", "3600000"
	retention := func() string {
		entries, err := adm.DescribeConfig(sarama.ConfigResource{Type: sarama.TopicResource, Name: o.Topic})
		if err != nil {
			return err.Error()
		}
		for _, e := range entries {
			if e.Name == "retention.ms" {
				return e.Value
			}
		}
		return "absent"
	}
	partitions := func() int {
		found, err := adm.DescribeTopics([]string{o.Topic})
		if err != nil || len(found) == 0 {
			return -1
		}
		return len(found[0].Partitions)
	}
	wait := func(work func() bool, message string) error {
		if Until(work) {
			return nil
		}
		return errors.New(message)
	}
	Step("create-topic", func() error {
		detail := &sarama.TopicDetail{NumPartitions: 3, ReplicationFactor: 1}
		detail.ConfigEntries = map[string]*string{"retention.ms": &day}
		return adm.CreateTopic(o.Topic, detail, false)
	})
	Step("create-topic-again", func() error {
		err := adm.CreateTopic(o.Topic, &sarama.TopicDetail{NumPartitions: 3, ReplicationFactor: 1}, false)
		if !errors.Is(err, sarama.ErrTopicAlreadyExists) {
			return fmt.Errorf("refused with %v", err)
		}
		return nil
	})
	Step("describe-topic", func() error { return wait(func() bool { return partitions() == 3 }, "three partitions") })
	Step("describe-configs", func() error {
		if got := retention(); got != day {
			return errors.New(got)
		}
		return nil
	})
	Step("alter-configs", func() error {
		change := map[string]sarama.IncrementalAlterConfigsEntry{
			"retention.ms": {Operation: sarama.IncrementalAlterConfigsOperationSet, Value: &hour},
		}
		if err := adm.IncrementalAlterConfig(sarama.TopicResource, o.Topic, change, false); err != nil {
			return err
		}
		return wait(func() bool { return retention() == hour }, "the new value does not show")
	})
	Step("create-partitions", func() error {
		if err := adm.CreatePartitions(o.Topic, 5, nil, false); err != nil {
			return err
		}
		return wait(func() bool { return partitions() == 5 }, "five partitions")
	})
	Step("group-work", func() error {
		client := must(sarama.NewClient([]string{o.Bootstrap}, c))
		defer client.Close()
		manager := must(sarama.NewOffsetManagerFromClient(o.Group, client))
		partition := must(manager.ManagePartition(o.Topic, 0))
		partition.MarkOffset(10, "note")
		manager.Commit()
		partition.Close()
		return manager.Close()
	})
	Step("list-groups", func() error {
		groups, err := adm.ListConsumerGroups()
		if _, found := groups[o.Group]; err == nil && !found {
			err = errors.New("not listed")
		}
		return err
	})
	Step("describe-group", func() error {
		_, err := adm.DescribeConsumerGroups([]string{o.Group})
		return err
	})
	Step("group-offsets", func() error {
		answer, err := adm.ListConsumerGroupOffsets(o.Group, map[string][]int32{o.Topic: {0}})
		if err != nil {
			return err
		}
		if block := answer.GetBlock(o.Topic, 0); block == nil || block.Offset != 10 || block.Metadata != "note" {
			return fmt.Errorf("%+v", block)
		}
		return nil
	})
	Step("delete-group", func() error { return adm.DeleteConsumerGroup(o.Group) })
	Step("describe-cluster", func() error {
		_, _, err := adm.DescribeCluster()
		return err
	})
	Step("delete-topic", func() error {
		if err := adm.DeleteTopic(o.Topic); err != nil {
			return err
		}
		return wait(func() bool {
			topics, err := adm.ListTopics()
			_, found := topics[o.Topic]
			return err == nil && !found
		}, "still listed")
	})
	adm.Close()
	Emit(Event{E: "done"})
}

func main() {
	Main(map[string]func(Options){"produce": produce, "consume": consume, "admin": admin})
}
