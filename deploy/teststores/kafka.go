package teststores

import (
	"context"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Kafka returns the brokers of Apache Kafka, host:port.
func Kafka(t testing.TB) []string {
	t.Helper()
	return strings.Split(need(t, EnvKafka), ",")
}

// Topic creates an empty topic of this test on brokers, of this package or of
// deploy/local, and returns its name. configs may be nil.
func Topic(t testing.TB, brokers []string, partitions int32, configs map[string]string) string {
	t.Helper()
	name := unique()
	values := map[string]*string{}
	for key, value := range configs {
		values[key] = &value
	}
	ctx := bounded(t)
	err := administer(brokers, func(adm *kadm.Client) error {
		_, err := adm.CreateTopic(ctx, partitions, 1, values, name)
		return err
	})
	if err != nil {
		t.Fatalf("create a topic of %d partitions with %v: %v", partitions, configs, err)
	}
	afterwards(t, "delete topic "+name, func(ctx context.Context) error {
		return administer(brokers, func(adm *kadm.Client) error {
			_, err := adm.DeleteTopic(ctx, name)
			return err
		})
	})
	return name
}

func administer(brokers []string, work func(*kadm.Client) error) error {
	c, err := kgo.NewClient(kgo.SeedBrokers(brokers...))
	if err != nil {
		return err
	}
	defer c.Close()
	return work(kadm.NewClient(c))
}
