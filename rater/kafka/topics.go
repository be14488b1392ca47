package kafka

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Settings are what the guarantees need of the broker.
type Settings struct {
	Partitions  int           // of topics that are created
	Retention   time.Duration // at least; usage and rated must outlive the longest period and its grace
	Embedded    bool          // the broker in this process: syncs every write, knows few settings
	AllowUnsafe bool          // what is missing is a warning
}

// maxMessageBytes is what a record may have at most.
const maxMessageBytes = 8 << 20

func (c Config) admin() (*kadm.Client, error) {
	client, err := c.client(kgo.MetadataMinAge(knownEvery)) // older answers are not given again
	if err != nil {
		return nil, err
	}
	return kadm.NewClient(client), nil
}

// Prepare creates the topics if they are missing, checks that the broker keeps its promises and returns the number
// of partitions. What is missing is an error that says what to set.
func Prepare(ctx context.Context, c Config, s Settings) (partitions int, err error) {
	c = c.withDefaults()
	admin, err := c.admin()
	if err != nil {
		return 0, err
	}
	defer admin.Close()
	brokers, err := admin.ListBrokers(ctx)
	if err != nil {
		return 0, fmt.Errorf("reach the broker at %s: %w; is it running, and is TOLLSTREAM_KAFKA right?", strings.Join(c.Brokers, ","), err)
	}
	for _, topic := range []string{c.Usage, c.Rated} {
		if err := create(ctx, admin, topic, len(brokers), s); err != nil {
			return 0, err
		}
	}
	details, err := describe(ctx, admin, c.Usage, c.Rated)
	if err != nil {
		return 0, err
	}
	usage, rated := details[c.Usage], details[c.Rated]
	if len(usage.Partitions) != len(rated.Partitions) {
		return 0, fmt.Errorf("topic %s has %d partitions and %s %d: they must have the same number, which cannot change later",
			c.Usage, len(usage.Partitions), c.Rated, len(rated.Partitions))
	}
	if s.Embedded {
		return len(usage.Partitions), nil
	}
	var missing []string
	for _, topic := range []string{c.Usage, c.Rated} {
		m, err := check(ctx, admin, topic, details[topic], s)
		if err != nil {
			return 0, err
		}
		missing = append(missing, m...)
	}
	if len(missing) == 0 {
		return len(usage.Partitions), nil
	}
	advice := strings.Join(missing, "; ")
	if s.AllowUnsafe {
		c.Log.Warn("the broker does not keep what tollstream promises", "missing", advice)
		return len(usage.Partitions), nil
	}
	return 0, fmt.Errorf("the broker's settings would lose or double usage: %s (on a development machine: TOLLSTREAM_ALLOW_UNSAFE_BROKER=true)", advice)
}

// A broker tells of a new topic a moment after it has created it.
const (
	knownWithin = 30 * time.Second
	knownEvery  = 100 * time.Millisecond
)

// describe returns the topics as soon as the broker knows all of them, with a leader for each partition.
func describe(ctx context.Context, admin *kadm.Client, topics ...string) (kadm.TopicDetails, error) {
	ctx, cancel := context.WithTimeout(ctx, knownWithin)
	defer cancel()
	for {
		details, err := admin.ListTopics(ctx, topics...)
		if err != nil {
			return nil, fmt.Errorf("describe topics: %w", err)
		}
		var errs []error
		for _, topic := range topics {
			errs = append(errs, details[topic].Err)
			for _, p := range details[topic].Partitions {
				errs = append(errs, p.Err)
			}
		}
		err = errors.Join(errs...)
		switch {
		case err == nil:
			return details, nil
		case !kerr.IsRetriable(err):
			return nil, fmt.Errorf("describe topics: %w", err)
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("describe topics: %w", err)
		case <-time.After(knownEvery):
		}
	}
}

func create(ctx context.Context, admin *kadm.Client, topic string, brokers int, s Settings) error {
	replicas := int16(1)
	if brokers >= 3 {
		replicas = 3
	}
	text := func(v string) *string { return &v }
	config := map[string]*string{
		"message.timestamp.type": text("LogAppendTime"), "max.message.bytes": text(strconv.Itoa(maxMessageBytes)),
		"retention.ms": text(strconv.FormatInt(s.Retention.Milliseconds(), 10)), "cleanup.policy": text("delete"), "retention.bytes": text("-1"),
	}
	if !s.Embedded {
		config["unclean.leader.election.enable"] = text("false")
		if replicas == 3 {
			config["min.insync.replicas"] = text("2")
		} else {
			config["flush.messages"] = text("1")
		}
	}
	answers, err := admin.CreateTopics(ctx, int32(s.Partitions), replicas, config, topic)
	if err != nil {
		return fmt.Errorf("create topic %s: %w", topic, err)
	}
	if err := answers[topic].Err; err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
		return fmt.Errorf("create topic %s: %w (%s)", topic, err, answers[topic].ErrMessage)
	}
	return nil
}

// check returns what the topic's settings lack, each with what to do.
func check(ctx context.Context, admin *kadm.Client, topic string, d kadm.TopicDetail, s Settings) ([]string, error) {
	answers, err := admin.DescribeTopicConfigs(ctx, topic)
	if err != nil {
		return nil, fmt.Errorf("read the settings of topic %s: %w", topic, err)
	}
	values := map[string]string{}
	for _, a := range answers {
		if a.Err != nil {
			return nil, fmt.Errorf("read the settings of topic %s: %w", topic, a.Err)
		}
		for _, c := range a.Configs {
			values[c.Key] = c.MaybeValue()
		}
	}
	var missing []string
	lacks := func(format string, args ...any) {
		missing = append(missing, fmt.Sprintf("topic "+topic+": "+format, args...))
	}
	replicas := d.Partitions.NumReplicas()
	inSync, _ := strconv.Atoi(values["min.insync.replicas"])
	switch {
	case replicas >= 3 && inSync < 2:
		lacks("set min.insync.replicas=2 (it is %d)", inSync)
	case replicas < 3 && values["flush.messages"] != "1":
		lacks("replicate it three times, or let the single broker sync every write with flush.messages=1 (it has %d replicas, flush.messages=%s)", replicas, values["flush.messages"])
	}
	if values["unclean.leader.election.enable"] == "true" {
		lacks("set unclean.leader.election.enable=false")
	}
	if values["message.timestamp.type"] != "LogAppendTime" {
		lacks("set message.timestamp.type=LogAppendTime (it is %s)", values["message.timestamp.type"])
	}
	if values["cleanup.policy"] != "delete" {
		lacks("set cleanup.policy=delete (it is %s)", values["cleanup.policy"])
	}
	if n, _ := strconv.Atoi(values["max.message.bytes"]); n < maxMessageBytes {
		lacks("set max.message.bytes=%d (it is %d)", maxMessageBytes, n)
	}
	if ms, err := strconv.ParseInt(values["retention.ms"], 10, 64); err == nil && ms >= 0 && ms < s.Retention.Milliseconds() {
		lacks("set retention.ms to at least %d, the longest period plus grace, or -1 (it is %d)", s.Retention.Milliseconds(), ms)
	}
	if bytes := values["retention.bytes"]; bytes != "" && bytes != "-1" {
		lacks("set retention.bytes=-1 (it is %s): a bound by size may remove what the time keeps", bytes)
	}
	return missing, nil
}

// Ends returns the offset after the last record of each partition of a topic.
func Ends(ctx context.Context, c Config, topic string) (map[int32]int64, error) {
	admin, err := c.withDefaults().admin()
	if err != nil {
		return nil, err
	}
	defer admin.Close()
	list, err := admin.ListEndOffsets(ctx, topic)
	if err != nil {
		return nil, fmt.Errorf("list the ends of topic %s: %w", topic, err)
	}
	if err := list.Error(); err != nil {
		return nil, fmt.Errorf("list the ends of topic %s: %w", topic, err)
	}
	ends := map[int32]int64{}
	list.Each(func(o kadm.ListedOffset) { ends[o.Partition] = o.Offset })
	return ends, nil
}
