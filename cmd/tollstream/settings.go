package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/tollstream/tollstream/cmd/tollstream/client"
	"github.com/tollstream/tollstream/collector/webhook"
	"github.com/tollstream/tollstream/deploy/local"
)

// Settings are all that the environment or flags configure: TOLLSTREAM_DATA_DIR is --data-dir, and so on. The flag wins; an
// empty variable counts as unset.
type Settings struct {
	DataDir           string        // what embedded stores keep; default ./data
	HTTPAddr          string        // host:port to listen on; beside a server also a URL
	Kafka             []string      // brokers, host:port; none: an embedded broker
	Postgres          string        // URL; empty: a server of our own
	Redis             string        // URL; empty: embedded
	ClickHouse        string        // URL, native or http; empty: reports stay in PostgreSQL
	CloseEvery        time.Duration // how often the close job looks for due periods; 0: only by hand
	APIKey            string        // beside a server
	AllowUnsafeBroker bool          // a broker that may lose acknowledged records is only warned of
	Partitions        int           // of the topics when they are created; 0: see PartitionCount
	SecretsDir        string        // of files named as the secrets that configurations name; empty: the environment alone
	TrustedProxies    []string      // networks whose X-Forwarded-For is believed
	LogLevel          slog.Level
}

// DefaultPartitions is the number of partitions on a broker of one's own, so that 50 raters share them evenly.
const DefaultPartitions = 256

const maxPartitions = 10_000

// PartitionCount is the number of partitions of topics that are created: as set, else 256, and few when the broker is embedded.
func (s *Settings) PartitionCount() int {
	switch {
	case s.Partitions > 0:
		return s.Partitions
	case len(s.Kafka) == 0:
		return local.DefaultPartitions
	}
	return DefaultPartitions
}

// storeFlags are the settings that name stores.
func (s *Settings) storeFlags(flags *pflag.FlagSet) {
	own := pflag.NewFlagSet("", pflag.ContinueOnError)
	own.StringSliceVar(&s.Kafka, "kafka", nil, "`BROKERS` of Apache Kafka, host:port,…; none: an embedded broker that syncs every write")
	own.StringVar(&s.Postgres, "postgres", "", "`URL` of PostgreSQL; none: a server that this process starts")
	own.StringVar(&s.Redis, "redis", "", "`URL` of Redis; none: embedded, in memory")
	own.StringVar(&s.ClickHouse, "clickhouse", "", "`URL` of ClickHouse, clickhouse:// or http://; none: reports stay in PostgreSQL")
	addSettings(flags, own)
}

// serverFlags are the settings of the commands that run the server's own code.
func (s *Settings) serverFlags(flags *pflag.FlagSet) {
	own := pflag.NewFlagSet("", pflag.ContinueOnError)
	own.StringVar(&s.DataDir, "data-dir", "./data", "`DIRECTORY` of the embedded stores")
	own.DurationVar(&s.CloseEvery, "close-every", time.Hour, "how often the close job looks for due periods; 0: only by hand")
	own.BoolVar(&s.AllowUnsafeBroker, "allow-unsafe-broker", false, "warn of broker settings that can lose usage instead of refusing them; for development only")
	own.IntVar(&s.Partitions, "partitions", 0, "partitions of topics that are created; fixed from then on (default 256, embedded 8)")
	own.StringVar(&s.SecretsDir, "secrets-dir", "", "`DIRECTORY` of files with the secrets that collectors name; TOLLSTREAM_SECRET_NAME goes before the file NAME")
	own.StringSliceVar(&s.TrustedProxies, "trusted-proxies", nil, "`NETWORKS` of proxies whose X-Forwarded-For is believed, like 10.0.0.0/8; none: the connection's address counts")
	addSettings(flags, own)
	s.storeFlags(flags)
}

// commonFlags are the settings of every command.
func (s *Settings) commonFlags(flags *pflag.FlagSet) {
	own := pflag.NewFlagSet("", pflag.ContinueOnError)
	own.StringVar(&s.HTTPAddr, "http-addr", "127.0.0.1:8080", "`ADDRESS` of the server, host:port; a URL when it stands behind a proxy")
	own.StringVar(&s.APIKey, "api-key", "", "API `KEY` that is sent to the server; better set the variable: other users of the machine see flags")
	own.TextVar(&s.LogLevel, "log-level", slog.LevelInfo, "debug, info, warn or error")
	addSettings(flags, own)
}

const (
	variablePrefix     = "TOLLSTREAM_"
	variableAnnotation = "variable"
)

// addSettings adds flags that are settings: it notes each one's variable and shows it in the help. The value is read after the command
// line was, so that neither help nor defaults show what the environment holds.
func addSettings(flags, settings *pflag.FlagSet) {
	settings.VisitAll(func(f *pflag.Flag) {
		name := variablePrefix + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		f.Usage += " [" + name + "]"
		f.Annotations = map[string][]string{variableAnnotation: {name}}
	})
	flags.AddFlagSet(settings)
}

// readEnvironment gives flags that the command line does not have their variable's value.
func readEnvironment(cmd *cobra.Command, getenv func(string) string) error {
	var errs []error
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		names := f.Annotations[variableAnnotation]
		if len(names) == 0 || f.Changed {
			return
		}
		value := getenv(names[0])
		if value == "" {
			return
		}
		if err := f.Value.Set(value); err != nil {
			kind := f.Value.Type()
			if kind == "" { // what reads itself has no name
				kind = "value"
			}
			errs = append(errs, fmt.Errorf("%s (--%s) is not a valid %s: %w", names[0], f.Name, kind, err))
		}
	})
	if err := errors.Join(errs...); err != nil {
		return &usageError{err}
	}
	return nil
}

// problems gathers what is wrong with settings, each with the names of its variable and flag. Values that may hold passwords are not shown.
type problems []error

func (p *problems) fail(flag, format string, args ...any) {
	name := variablePrefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
	*p = append(*p, fmt.Errorf("%s (--%s) %s", name, flag, fmt.Sprintf(format, args...)))
}

func (p *problems) err() error {
	if err := errors.Join(*p...); err != nil {
		return &usageError{err}
	}
	return nil
}

// Validate checks what a server needs. All that is wrong is reported.
func (s *Settings) Validate() error {
	var p problems
	if s.DataDir == "" {
		p.fail("data-dir", "must name a directory")
	}
	if !listenAddress(s.HTTPAddr) {
		p.fail("http-addr", "must be host:port to listen on, such as 127.0.0.1:8080, not %q", s.HTTPAddr)
	}
	s.checkStores(&p)
	if _, err := networks(s.TrustedProxies); err != nil {
		p.fail("trusted-proxies", "%s", err)
	}
	if s.CloseEvery < 0 || s.CloseEvery > 0 && s.CloseEvery < time.Second {
		p.fail("close-every", "must be 0 or at least 1s, not %s", s.CloseEvery)
	}
	if s.Partitions < 0 || s.Partitions > maxPartitions {
		p.fail("partitions", "must lie between 1 and %d, not %d", maxPartitions, s.Partitions)
	}
	return p.err()
}

func (s *Settings) checkStores(p *problems) {
	for _, broker := range s.Kafka {
		if !listenAddress(broker) || strings.HasPrefix(broker, ":") {
			p.fail("kafka", "must list brokers as host:port, not %q", broker)
		}
	}
	for _, store := range []struct {
		flag, value string
		schemes     []string
	}{
		{"postgres", s.Postgres, []string{"postgres", "postgresql"}},
		{"redis", s.Redis, []string{"redis", "rediss", "unix"}},
		{"clickhouse", s.ClickHouse, []string{"clickhouse", "tcp", "http", "https"}},
	} {
		if store.value == "" {
			continue
		}
		if u, err := url.Parse(store.value); err != nil || !slices.Contains(store.schemes, u.Scheme) || u.Host == "" && u.Path == "" {
			p.fail(store.flag, "must be a URL that begins with %s://", strings.Join(store.schemes, ":// or "))
		}
	}
}

func listenAddress(addr string) bool {
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	n, err := strconv.ParseUint(port, 10, 16)
	return err == nil && n <= 65535
}

// client talks to the server that the settings name.
func (s *Settings) client() (*client.Client, error) {
	c, err := client.New(s.HTTPAddr, s.APIKey)
	if err != nil {
		return nil, &usageError{err}
	}
	return c, nil
}

// networks reads addresses and networks.
func networks(texts []string) (list webhook.Networks, err error) {
	for _, text := range texts {
		p, ok := webhook.ParseNetwork(text)
		if !ok {
			return nil, fmt.Errorf("must list networks like 10.0.0.0/8, not %q", text)
		}
		list = append(list, p)
	}
	return list, nil
}
