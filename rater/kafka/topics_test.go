package kafka_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tollstream/tollstream/deploy/teststores"
	"github.com/tollstream/tollstream/rater/kafka"
)

var safe = kafka.Settings{Partitions: 3, Retention: retention}

// topics prepares topics of a test's own on Apache Kafka, for the settings that kfake does not know.
func topics(t *testing.T) (kafka.Config, *kadm.Client) {
	t.Helper()
	if testing.Short() {
		t.Skip("needs servers")
	}
	name := strings.ToLower(rand.Text())
	c := kafka.Config{Brokers: teststores.Kafka(t), Usage: "usage-" + name, Rated: "rated-" + name, Log: slog.New(slog.DiscardHandler)}
	client, err := kgo.NewClient(kgo.SeedBrokers(c.Brokers...))
	if err != nil {
		t.Fatal(err)
	}
	admin := kadm.NewClient(client)
	t.Cleanup(func() {
		_, _ = admin.DeleteTopics(context.Background(), c.Usage, c.Rated)
		client.Close()
	})
	return c, admin
}

func TestPrepareCreatesSafeTopics(t *testing.T) {
	c, admin := topics(t)
	for range 2 { // the second time they are there
		if n, err := kafka.Prepare(t.Context(), c, safe); n != 3 || err != nil {
			t.Fatalf("%d partitions, %v", n, err)
		}
	}
	want := map[string]string{
		"message.timestamp.type": "LogAppendTime", "max.message.bytes": "8388608", "retention.ms": "7776000000", // 90 days
		"retention.bytes": "-1", "cleanup.policy": "delete", "unclean.leader.election.enable": "false", "flush.messages": "1",
	}
	for _, topic := range []string{c.Usage, c.Rated} {
		answers, err := admin.DescribeTopicConfigs(t.Context(), topic)
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]string{}
		for _, x := range answers[0].Configs {
			got[x.Key] = x.MaybeValue()
		}
		for k, v := range want {
			if got[k] != v {
				t.Errorf("topic %s: %s is %s, want %s", topic, k, got[k], v)
			}
		}
	}
	more := safe
	more.Partitions = 9 // only for topics that are created
	if n, err := kafka.Prepare(t.Context(), c, more); n != 3 || err != nil {
		t.Errorf("%d partitions, %v", n, err)
	}
}

func TestPrepareRefusesUnsafeTopics(t *testing.T) {
	c, admin := topics(t)
	if _, err := kafka.Prepare(t.Context(), c, safe); err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct{ key, safe, unsafe, advice string }{
		{"flush.messages", "1", "1000", "flush.messages=1"},
		{"unclean.leader.election.enable", "false", "true", "set unclean.leader.election.enable=false"},
		{"message.timestamp.type", "LogAppendTime", "CreateTime", "set message.timestamp.type=LogAppendTime (it is CreateTime)"},
		{"cleanup.policy", "delete", "compact,delete", "set cleanup.policy=delete (it is compact,delete)"},
		{"max.message.bytes", "8388608", "1048576", "set max.message.bytes=8388608 (it is 1048576)"},
		{"retention.ms", "-1", "604800000", "set retention.ms to at least 7776000000"},
		{"retention.bytes", "-1", "1073741824", "set retention.bytes=-1 (it is 1073741824)"},
	} {
		for _, topic := range []string{c.Usage, c.Rated} {
			t.Run(x.key+" of "+strings.SplitN(topic, "-", 2)[0], func(t *testing.T) {
				set(t, admin, topic, x.key, x.unsafe)
				_, err := kafka.Prepare(t.Context(), c, safe)
				if err == nil || !strings.Contains(err.Error(), "topic "+topic+": ") || !strings.Contains(err.Error(), x.advice) ||
					!strings.Contains(err.Error(), "TOLLSTREAM_ALLOW_UNSAFE_BROKER") {
					t.Errorf("error %v, want the advice %q", err, x.advice)
				}
				var log bytes.Buffer
				lenient, reckless := safe, c
				lenient.AllowUnsafe, reckless.Log = true, slog.New(slog.NewTextHandler(&log, nil))
				if n, err := kafka.Prepare(t.Context(), reckless, lenient); n != 3 || err != nil || !strings.Contains(log.String(), x.advice) {
					t.Errorf("%d partitions, %v, log %s", n, err, log.String())
				}
				set(t, admin, topic, x.key, x.safe)
				if _, err := kafka.Prepare(t.Context(), c, safe); err != nil {
					t.Errorf("refused when it is safe again: %v", err)
				}
			})
		}
	}
}

func set(t *testing.T, admin *kadm.Client, topic, key, value string) {
	t.Helper()
	answers, err := admin.AlterTopicConfigs(t.Context(), []kadm.AlterConfig{{Op: kadm.SetConfig, Name: key, Value: &value}}, topic)
	if err == nil {
		err = answers[0].Err
	}
	if err != nil {
		t.Fatal(err)
	}
	await(t, "the setting is told of", func() bool {
		got, err := admin.DescribeTopicConfigs(t.Context(), topic)
		if err != nil {
			return false
		}
		for _, x := range got[0].Configs {
			if x.Key == key {
				return x.MaybeValue() == value
			}
		}
		return false
	})
}

func TestPrepareRefusesDifferentPartitions(t *testing.T) {
	w := onFake(t, 3)
	if _, err := w.admin.CreatePartitions(t.Context(), 1, w.config.Rated); err != nil {
		t.Fatal(err)
	}
	s := kafka.Settings{Partitions: 3, Retention: retention, Embedded: true, AllowUnsafe: true}
	if _, err := kafka.Prepare(t.Context(), w.config, s); err == nil || !strings.Contains(err.Error(), "has 3 partitions and "+w.config.Rated+" 4") {
		t.Errorf("error %v", err)
	}
}

func TestPrepareSaysWhereTheBrokerIsNot(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	c := kafka.Config{Brokers: []string{"127.0.0.1:1"}, Log: slog.New(slog.DiscardHandler)}
	if _, err := kafka.Prepare(ctx, c, safe); err == nil || !strings.Contains(err.Error(), "127.0.0.1:1") || !strings.Contains(err.Error(), "TOLLSTREAM_KAFKA") {
		t.Errorf("error %v", err)
	}
}
