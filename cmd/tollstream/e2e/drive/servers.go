package drive

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Servers is a set of real servers that deploy/servers/servers starts, apart from the common one: these are killed.
type Servers struct {
	Name  string
	Cache string   // TOLLSTREAM_CACHE, absolute
	Repo  string   // the repository
	Env   []string // more settings of the script
}

// Run calls the script for this set.
func (s *Servers) Run(args ...string) error {
	_, err := s.Ask(args...)
	return err
}

// Ask calls the script and returns what it printed.
func (s *Servers) Ask(args ...string) (string, error) {
	cmd := exec.Command(filepath.Join(s.Repo, "deploy/servers/servers"), args...)
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "TOLLSTREAM_SERVERS") && !strings.HasPrefix(v, "TOLLSTREAM_CACHE=") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	cmd.Env = append(cmd.Env, "TOLLSTREAM_SERVERS="+s.Name, "TOLLSTREAM_CACHE="+s.Cache, "TOLLSTREAM_SERVERS_FSYNC=off")
	cmd.Env = append(cmd.Env, s.Env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("servers %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return string(out), nil
}

// Addresses reads the set's own env file.
func (s *Servers) Addresses() (map[string]string, error) {
	return s.read("env")
}

// Set reads what the script noted when the set was started: data, the directory of the servers' files, and their ports.
func (s *Servers) Set() (map[string]string, error) {
	return s.read("set")
}

// read gives the variables of one of the set's files.
func (s *Servers) read(file string) (map[string]string, error) {
	text, err := os.ReadFile(filepath.Join(s.Cache, "servers", s.Name, file))
	if err != nil {
		return nil, fmt.Errorf("read where the servers are: %w", err)
	}
	found := map[string]string{}
	for line := range strings.Lines(string(text)) {
		name, value, ok := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "export "), "=")
		if ok {
			found[name] = strings.Trim(value, "'")
		}
	}
	return found, nil
}

// StopForgotten ends the sets of processes that were killed: their names are the prefix and the process's number.
func (s *Servers) StopForgotten(prefix string) {
	sets, _ := filepath.Glob(filepath.Join(s.Cache, "servers", prefix+"*"))
	for _, path := range sets {
		pid := strings.TrimPrefix(filepath.Base(path), prefix)
		if _, err := os.Stat("/proc/" + pid); os.IsNotExist(err) {
			forgotten := *s
			forgotten.Name = filepath.Base(path)
			_ = forgotten.Run("stop") // it may be half gone
		}
	}
}

// EmptyKafka removes the topics of an earlier installation, whose names are fixed. Until it returns nil, it is to be repeated.
func EmptyKafka(ctx context.Context, brokers []string) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.MetadataMinAge(100*time.Millisecond))
	if err != nil {
		return err
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	topics, err := admin.ListTopics(ctx)
	if err != nil {
		return err
	}
	names := topics.Names()
	if len(names) == 0 {
		return nil
	}
	if _, err := admin.DeleteTopics(ctx, names...); err != nil {
		return err
	}
	return fmt.Errorf("there were %v", names)
}
