// franz-go: see ../../README.md for the protocol.
package main

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	. "stentor.dev/tests/clients/go/lines"
)

func must[T any](value T, err error) T {
	if err != nil {
		Emit(Event{E: "error", Error: err.Error()})
		panic(err)
	}
	return value
}

func codec(name string) kgo.CompressionCodec {
	switch name {
	case "gzip":
		return kgo.GzipCompression()
	case "snappy":
		return kgo.SnappyCompression()
	case "lz4":
		return kgo.Lz4Compression()
	case "zstd":
		return kgo.ZstdCompression()
	}
	return kgo.NoCompression()
}

func produce(o Options) {
	partitioner := kgo.BasicConsistentPartitioner(func(string) func(*kgo.Record, int) int {
		return func(r *kgo.Record, _ int) int { return int(r.Partition) }
	})
	config := []kgo.Opt{
		kgo.SeedBrokers(o.Bootstrap),
		kgo.ProducerBatchCompression(codec(o.Compression)),
		kgo.RecordPartitioner(partitioner),
		kgo.AllowAutoTopicCreation(),
		kgo.ProducerLinger(5 * time.Millisecond),
		kgo.RecordRetries(1 << 30),
	}
	if o.Idempotent != nil && !*o.Idempotent {
		config = append(config, kgo.DisableIdempotentWrite())
	}
	client := must(kgo.NewClient(config...))
	ctx := context.Background()
	var left atomic.Int64
	Records(func(in Record) {
		r := &kgo.Record{Topic: o.Topic, Key: in.K, Value: in.V}
		if in.P != nil {
			r.Partition = *in.P
		}
		if in.T != nil {
			r.Timestamp = time.UnixMilli(*in.T)
		}
		for _, h := range in.H {
			r.Headers = append(r.Headers, kgo.RecordHeader{Key: h.Name, Value: h.Value})
		}
		left.Add(1)
		client.Produce(ctx, r, func(r *kgo.Record, err error) {
			left.Add(-1)
			if err != nil {
				Emit(Event{E: "fail", I: in.I, Error: err.Error()})
				return
			}
			Emit(Event{E: "ack", I: in.I, P: r.Partition, O: r.Offset})
		})
	})
	if err := client.Flush(ctx); err != nil {
		Emit(Event{E: "error", Error: err.Error()})
	}
	client.Close()
	Emit(Event{E: "done", Left: int(left.Load())})
}

type held struct {
	sync.Mutex
	partitions map[int32]bool
}

func (h *held) change(partitions []int32, have bool) {
	h.Lock()
	defer h.Unlock()
	for _, p := range partitions {
		if have {
			h.partitions[p] = true
		} else {
			delete(h.partitions, p)
		}
	}
	list := []int32{}
	for p := range h.partitions {
		list = append(list, p)
	}
	sort.Slice(list, func(i, j int) bool { return list[i] < list[j] })
	Emit(Event{E: "assigned", P: list})
}

func consume(o Options) {
	have := &held{partitions: map[int32]bool{}}
	config := []kgo.Opt{
		kgo.SeedBrokers(o.Bootstrap),
		kgo.ConsumeTopics(o.Topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchMaxWait(500 * time.Millisecond),
	}
	if o.Group != "" {
		change := func(have *held, is bool) func(context.Context, *kgo.Client, map[string][]int32) {
			return func(_ context.Context, _ *kgo.Client, m map[string][]int32) { have.change(m[o.Topic], is) }
		}
		config = append(config,
			kgo.ConsumerGroup(o.Group),
			kgo.DisableAutoCommit(),
			kgo.OnPartitionsAssigned(change(have, true)),
			kgo.OnPartitionsRevoked(change(have, false)),
			kgo.OnPartitionsLost(change(have, false)),
		)
		if o.Assignor == "range" {
			config = append(config, kgo.Balancers(kgo.RangeBalancer()))
		}
	}
	client := must(kgo.NewClient(config...))
	commands := Commands()
	for {
		select {
		case command := <-commands:
			switch command {
			case "commit":
				if err := client.CommitUncommittedOffsets(context.Background()); err != nil {
					Emit(Event{E: "error", Error: err.Error()})
				} else {
					Emit(Event{E: "committed"})
				}
			case "quit":
				client.Close()
				Emit(Event{E: "closed"})
				return
			}
		default:
		}
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		fetches := client.PollRecords(ctx, 1000)
		cancel()
		fetches.EachError(func(_ string, _ int32, err error) {
			if !errors.Is(err, context.DeadlineExceeded) {
				Emit(Event{E: "warning", Error: err.Error()})
			}
		})
		fetches.EachRecord(func(r *kgo.Record) {
			e := Event{E: "record", P: r.Partition, O: r.Offset, K: r.Key, V: r.Value, T: r.Timestamp.UnixMilli()}
			for _, h := range r.Headers {
				e.H = append(e.H, Header{Name: h.Key, Value: h.Value})
			}
			Emit(e)
		})
	}
}

func admin(o Options) {
	client := must(kgo.NewClient(kgo.SeedBrokers(o.Bootstrap)))
	adm := kadm.NewClient(client)
	ctx := context.Background()
	value := func(v string) *string { return &v }
	retention := func() string {
		configs, err := adm.DescribeTopicConfigs(ctx, o.Topic)
		if err != nil || len(configs) == 0 {
			return fmt.Sprint(err)
		}
		for _, c := range configs[0].Configs {
			if c.Key == "retention.ms" {
				return c.MaybeValue()
			}
		}
		return "absent"
	}
	partitions := func() int {
		topics, err := adm.ListTopics(ctx, o.Topic)
		if err != nil {
			return -1
		}
		return len(topics[o.Topic].Partitions)
	}
	wait := func(work func() bool, message string) error {
		if Until(work) {
			return nil
		}
		return errors.New(message)
	}
	Step("create-topic", func() error {
		_, err := adm.CreateTopic(ctx, 3, 1, map[string]*string{"retention.ms": value("86400000")}, o.Topic)
		return err
	})
	Step("create-topic-again", func() error {
		if _, err := adm.CreateTopic(ctx, 3, 1, nil, o.Topic); !errors.Is(err, kerr.TopicAlreadyExists) {
			return fmt.Errorf("refused with %v", err)
		}
		return nil
	})
	Step("metadata", func() error { return wait(func() bool { return partitions() == 3 }, "three partitions") })
	Step("describe-configs", func() error {
		if got := retention(); got != "86400000" {
			return errors.New(got)
		}
		return nil
	})
	Step("alter-configs", func() error {
		change := []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "retention.ms", Value: value("3600000")}}
		if _, err := adm.AlterTopicConfigs(ctx, change, o.Topic); err != nil {
			return err
		}
		return wait(func() bool { return retention() == "3600000" }, "the new value does not show")
	})
	Step("create-partitions", func() error {
		answer, err := adm.UpdatePartitions(ctx, 5, o.Topic)
		if err == nil {
			err = answer.Error()
		}
		if err != nil {
			return err
		}
		return wait(func() bool { return partitions() == 5 }, "five partitions")
	})
	Step("group-work", func() error {
		at := kadm.Offsets{}
		at.Add(kadm.Offset{Topic: o.Topic, Partition: 0, At: 10, LeaderEpoch: -1, Metadata: "note"})
		for i := 0; i < 10; i++ {
			r := &kgo.Record{Topic: o.Topic, Partition: 0, Value: []byte{byte(i)}}
			one := must(kgo.NewClient(kgo.SeedBrokers(o.Bootstrap), kgo.RecordPartitioner(kgo.ManualPartitioner())))
			err := one.ProduceSync(ctx, r).FirstErr()
			one.Close()
			if err != nil {
				return err
			}
		}
		return adm.CommitAllOffsets(ctx, o.Group, at)
	})
	Step("list-groups", func() error {
		groups, err := adm.ListGroups(ctx)
		if err == nil && groups[o.Group].Group != o.Group {
			err = errors.New("not listed")
		}
		return err
	})
	Step("describe-group", func() error {
		groups, err := adm.DescribeGroups(ctx, o.Group)
		if err == nil {
			err = groups.Error()
		}
		return err
	})
	Step("group-offsets", func() error {
		offsets, err := adm.FetchOffsets(ctx, o.Group)
		if err != nil {
			return err
		}
		at, _ := offsets.Lookup(o.Topic, 0)
		if at.At != 10 || at.Metadata != "note" {
			return fmt.Errorf("%+v", at)
		}
		return nil
	})
	Step("list-offsets", func() error {
		ends, err := adm.ListEndOffsets(ctx, o.Topic)
		if err != nil {
			return err
		}
		if end, _ := ends.Lookup(o.Topic, 0); end.Offset != 10 {
			return fmt.Errorf("%+v", end)
		}
		return nil
	})
	Step("delete-records", func() error {
		at := kadm.Offsets{}
		at.Add(kadm.Offset{Topic: o.Topic, Partition: 0, At: 4})
		answer, err := adm.DeleteRecords(ctx, at)
		if err != nil {
			return err
		}
		if err := answer.Error(); err != nil {
			return err
		}
		starts, err := adm.ListStartOffsets(ctx, o.Topic)
		if err != nil {
			return err
		}
		if start, _ := starts.Lookup(o.Topic, 0); start.Offset != 4 {
			return fmt.Errorf("%+v", start)
		}
		return nil
	})
	Step("describe-log-dirs", func() error {
		_, err := adm.DescribeAllLogDirs(ctx, nil)
		return err
	})
	Step("delete-group", func() error {
		_, err := adm.DeleteGroup(ctx, o.Group)
		return err
	})
	Step("describe-cluster", func() error {
		_, err := adm.BrokerMetadata(ctx)
		return err
	})
	Step("delete-topic", func() error {
		if _, err := adm.DeleteTopic(ctx, o.Topic); err != nil {
			return err
		}
		return wait(func() bool {
			topics, err := adm.ListTopics(ctx)
			return err == nil && !topics.Has(o.Topic)
		}, "still listed")
	})
	client.Close()
	Emit(Event{E: "done"})
}

func main() {
	Main(map[string]func(Options){"produce": produce, "consume": consume, "admin": admin})
}
