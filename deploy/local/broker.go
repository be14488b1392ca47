package local

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"

	"github.com/twmb/franz-go/pkg/kfake"
)

// maxMessageBytes is what the topics `usage` and `rated` need.
const maxMessageBytes = 8 << 20

// broker is the embedded Kafka broker.
type broker struct {
	cluster *kfake.Cluster
	addrs   []string
}

func startBroker(cfg Config, port int) (*broker, error) {
	dir := filepath.Join(cfg.DataDir, "kafka")
	opts := []kfake.Opt{
		kfake.NumBrokers(1),
		kfake.ClusterID("tollstream-local"),
		kfake.DataDir(dir),
		kfake.SyncWrites(),
		kfake.DefaultNumPartitions(cfg.Partitions),
		kfake.WithLogger(brokerLog{cfg.Log}),
		kfake.BrokerConfigs(map[string]string{
			"message.max.bytes":          strconv.Itoa(maxMessageBytes),
			"default.replication.factor": "1",
			"min.insync.replicas":        "1",
			// Usage is the truth that everything else is computed from: kept
			// until a topic says otherwise.
			"log.retention.ms": "-1",
		}),
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("start the embedded broker: %w", err)
	}
	// Memberships saved by a clean stop would make the group wait for members
	// that are gone. After a crash there are none; be the same after a stop.
	if err := os.Remove(filepath.Join(dir, "session_state.json")); err != nil && !os.IsNotExist(err) {
		return nil, fmt.Errorf("start the embedded broker: %w", err)
	}
	b := &broker{}
	err := withPort(port, func(port int) (err error) {
		b.cluster, err = kfake.NewCluster(append(opts, kfake.Ports(port))...)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("start the embedded broker in %s: %w", dir, err)
	}
	// The windows of producers' sequences are right only directly after the
	// clean stop that wrote them; after a later crash a surviving producer
	// would be refused because of them.
	if err := os.Remove(filepath.Join(dir, "seq_windows.json")); err != nil && !os.IsNotExist(err) {
		b.cluster.Close()
		return nil, fmt.Errorf("start the embedded broker: %w", err)
	}
	b.addrs = b.cluster.ListenAddrs()
	return b, nil
}

func (b *broker) close() { b.cluster.Close() }

// brokerLog passes the broker's messages on.
type brokerLog struct{ log *slog.Logger }

// Logf implements kfake.Logger.
func (l brokerLog) Logf(level kfake.LogLevel, format string, args ...any) {
	to := slog.LevelDebug
	switch level {
	case kfake.LogLevelError:
		to = slog.LevelError
	case kfake.LogLevelWarn:
		to = slog.LevelWarn
	}
	if l.log.Enabled(context.Background(), to) {
		l.log.Log(context.Background(), to, fmt.Sprintf(format, args...), "store", "kafka")
	}
}
