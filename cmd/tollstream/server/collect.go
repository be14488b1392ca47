package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"gopkg.in/yaml.v3"

	"github.com/tollstream/tollstream/api"
	"github.com/tollstream/tollstream/collector"
	cpg "github.com/tollstream/tollstream/collector/pg"
	"github.com/tollstream/tollstream/collector/places"
	"github.com/tollstream/tollstream/collector/source"
)

// collectDesk keeps the collectors' configurations, runs them and reads their history.
type collectDesk struct {
	p      *process
	spool  string
	parsed map[string]collector.Configured // the worker's own
}

var (
	_ api.CollectorConfigs = (*collectDesk)(nil)
	_ api.CollectorRuns    = (*collectDesk)(nil)
	_ api.CollectorFiles   = (*collectDesk)(nil)
	_ api.CollectorControl = (*collectDesk)(nil)
)

// maxUploadBytes bounds an uploaded file.
const maxUploadBytes = 64 << 30

// newCollectDesk makes the place where uploads are kept while they are read.
func (p *process) newCollectDesk() (*collectDesk, error) {
	spool := filepath.Join(p.DataDir, "uploads")
	if err := os.MkdirAll(spool, 0o700); err != nil {
		return nil, fmt.Errorf("make a place for uploads: %w", err)
	}
	return &collectDesk{p: p, spool: spool, parsed: map[string]collector.Configured{}}, nil
}

func (d *collectDesk) deps() collector.RunDeps {
	return collector.RunDeps{Intake: d.p.intake, Store: d.p.runs, Now: d.p.Now, Log: d.p.Log, Metrics: d.p.metrics}
}

// collectError translates what the store answered.
func collectError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, cpg.ErrNotFound):
		return fmt.Errorf("%w: %w", api.ErrNotFound, err)
	case errors.Is(err, cpg.ErrPaused):
		return fmt.Errorf("%w: %w", api.ErrConflict, err)
	case errors.Is(err, cpg.ErrCursor), errors.Is(err, cpg.ErrName):
		return fmt.Errorf("%w: %w", api.ErrInvalid, err)
	case errors.Is(err, collector.ErrUnavailable):
		return fmt.Errorf("%w: %w", api.ErrUnavailable, err)
	}
	return err
}

// Collectors implements api.CollectorConfigs.
func (d *collectDesk) Collectors(ctx context.Context) ([]api.CollectorInfo, error) {
	var out []api.CollectorInfo
	for cursor := ""; ; {
		page, next, err := d.p.runs.Configs(ctx, cursor, 200)
		if err != nil {
			return nil, collectError(err)
		}
		for i := range page {
			info, err := d.info(ctx, page[i])
			if err != nil {
				return nil, err
			}
			out = append(out, *info)
		}
		if next == "" {
			return out, nil
		}
		cursor = next
	}
}

func (d *collectDesk) info(ctx context.Context, c cpg.Config) (*api.CollectorInfo, error) {
	var tree any
	if err := yaml.Unmarshal([]byte(c.Document), &tree); err != nil {
		return nil, fmt.Errorf("read the configuration of collector %s: %w", c.Name, err)
	}
	config, err := json.Marshal(tree)
	if err != nil {
		return nil, fmt.Errorf("read the configuration of collector %s: %w", c.Name, err)
	}
	info := &api.CollectorInfo{Name: c.Name, Config: config, State: "idle"}
	state, err := d.p.runs.State(ctx, c.Name)
	if err != nil {
		return nil, collectError(err)
	}
	if !state.NextDue.IsZero() {
		info.NextDue = &state.NextDue
	}
	if parsed, err := collector.ParseConfig([]byte(c.Document)); err == nil {
		info.Alerts = parsed.Alerts.Raised(c.CreatedAt, state.LastFile, state.Rows, state.Rejected, d.p.Now())
	}
	last, _, err := d.p.runs.Runs(ctx, c.Name, "", 1)
	if err != nil {
		return nil, collectError(err)
	}
	if len(last) == 1 {
		run := describeRun(last[0])
		info.LastRun = &run
		if run.State != "done" {
			info.State = run.State
		}
	}
	passes, _, err := d.p.runs.Passes(ctx, c.Name, "", 1)
	if err != nil {
		return nil, collectError(err)
	}
	if len(passes) == 1 {
		info.LastPass = &passes[0]
		if passes[0].State == collector.RunFailed {
			info.State = "failed"
		}
	}
	switch {
	case state.Running, state.Wanted:
		info.State = "running"
	case state.Paused:
		info.State = "paused"
	}
	return info, nil
}

// PutCollector implements api.CollectorConfigs.
func (d *collectDesk) PutCollector(ctx context.Context, name string, doc api.Document) (*api.CollectorInfo, bool, error) {
	version, _, err := d.p.runs.PutConfig(ctx, name, doc.Body)
	if problems := configErrors(err); len(problems) > 0 {
		return nil, false, problems
	}
	if err != nil {
		return nil, false, collectError(err)
	}
	c, err := d.p.runs.Config(ctx, name, version)
	if err != nil {
		return nil, false, collectError(err)
	}
	info, err := d.info(ctx, c)
	return info, version == 1, err
}

// configErrors collects what is wrong with a configuration.
func configErrors(err error) (out api.DocumentErrors) {
	var one *collector.ConfigError
	if joined, ok := err.(interface{ Unwrap() []error }); ok { //nolint:errorlint // the list itself is wanted
		for _, e := range joined.Unwrap() {
			out = append(out, configErrors(e)...)
		}
		return out
	}
	if errors.As(err, &one) {
		out = append(out, api.DocumentError{Path: one.Path, Line: one.Line, Message: one.Message})
	}
	return out
}

func describeRun(r collector.Run) api.Run {
	out := api.Run{
		ID: strconv.FormatInt(r.ID, 10), Collector: r.Collector, State: string(r.State), File: r.File, StartedAt: r.StartedAt, EndedAt: r.EndedAt,
		Rows: r.Rows, Accepted: r.Sent, Filtered: r.Filtered, Bad: r.Rejected, Events: r.Events, Error: r.Message,
	}
	if r.State == collector.RunInterrupted {
		out.State = "failed"
		out.Error = "stopped in the middle; run it again and it goes on where it was. " + r.Message
	}
	return out
}

// shownErrors is how many bad rows a run is shown with.
const shownErrors = 20

func (d *collectDesk) withErrors(ctx context.Context, run collector.Run) (*api.Run, error) {
	out := describeRun(run)
	if run.Rejected > 0 {
		list, _, err := d.p.runs.Errors(ctx, run.ID, "", shownErrors)
		if err != nil {
			return nil, collectError(err)
		}
		for _, e := range list {
			out.BadRows = append(out.BadRows, api.BadRow{File: run.File, Line: e.Line, Code: string(e.Code), Reason: e.Message})
		}
	}
	return &out, nil
}

// Runs implements api.CollectorRuns.
func (d *collectDesk) Runs(ctx context.Context, name, cursor string, limit int) ([]api.Run, string, error) {
	if _, err := d.p.runs.Config(ctx, name, 0); err != nil {
		return nil, "", collectError(err)
	}
	page, next, err := d.p.runs.Runs(ctx, name, cursor, limit)
	if err != nil {
		return nil, "", collectError(err)
	}
	out := make([]api.Run, 0, len(page))
	for _, r := range page {
		run, err := d.withErrors(ctx, r)
		if err != nil {
			return nil, "", err
		}
		out = append(out, *run)
	}
	return out, next, nil
}

// config reads the newest configuration of a collector.
func (d *collectDesk) config(ctx context.Context, name string) (*collector.Config, int, error) {
	stored, err := d.p.runs.Config(ctx, name, 0)
	if err != nil {
		return nil, 0, collectError(err)
	}
	config, err := collector.ParseConfig([]byte(stored.Document))
	if err != nil {
		return nil, 0, fmt.Errorf("collector %s: %w", name, err)
	}
	return config, stored.Version, nil
}

// UploadFile implements api.CollectorFiles. The file is spooled first, so that its content is known before its first row is sent; a
// sender who is cut off sends it again, and the run goes on where it was.
func (d *collectDesk) UploadFile(ctx context.Context, u api.Upload) (*api.Run, error) {
	config, version, err := d.config(ctx, u.Collector)
	if err != nil {
		return nil, err
	}
	if u.Backfill {
		config.Backfill = true
	}
	file, remove, err := source.Spool(u.Body, u.FileName, d.spool, maxUploadBytes)
	if err != nil {
		return nil, fmt.Errorf("keep the upload: %w", err)
	}
	defer func() {
		if err := remove(); err != nil {
			d.p.Log.Warn("an upload is left behind", "file", file.Name, "error", err)
		}
	}()
	result, err := collector.RunFile(ctx, d.deps(), collector.RunRequest{Collector: u.Collector, Version: version, Config: config, File: file}, nil)
	if err != nil && result.ID == 0 {
		return nil, collectError(err)
	}
	run, rerr := d.withErrors(context.WithoutCancel(ctx), result.Run)
	if rerr != nil {
		return nil, rerr
	}
	if u.Strict && run.Bad > 0 && run.State == "done" {
		run.State, run.Error = "failed", fmt.Sprintf("%d bad rows, and the upload is strict; the other rows were sent", run.Bad)
	}
	return run, nil
}

// StartRun implements api.CollectorRuns: it asks for a pass, which a process with the role collector makes.
func (d *collectDesk) StartRun(ctx context.Context, name string) (*api.Run, error) {
	config, _, err := d.config(ctx, name)
	if err != nil {
		return nil, err
	}
	if !config.Source.Listed() {
		return nil, fmt.Errorf("%w: collector %s takes uploads: send it a file", api.ErrInvalid, name)
	}
	if err := d.p.runs.Want(ctx, name); err != nil {
		return nil, collectError(err)
	}
	return &api.Run{Collector: name, State: "running", StartedAt: d.p.Now().UTC()}, nil
}

// PauseCollector implements api.CollectorControl.
func (d *collectDesk) PauseCollector(ctx context.Context, name string, paused bool) (*api.CollectorInfo, error) {
	c, err := d.p.runs.Config(ctx, name, 0)
	if err != nil {
		return nil, collectError(err)
	}
	if err := d.p.runs.Pause(ctx, name, paused); err != nil {
		return nil, collectError(err)
	}
	return d.info(ctx, c)
}

// Passes implements api.CollectorControl.
func (d *collectDesk) Passes(ctx context.Context, name, cursor string, limit int) ([]collector.Pass, string, error) {
	if _, err := d.p.runs.Config(ctx, name, 0); err != nil {
		return nil, "", collectError(err)
	}
	page, next, err := d.p.runs.Passes(ctx, name, cursor, limit)
	return page, next, collectError(err)
}

// RunErrors implements api.CollectorControl.
func (d *collectDesk) RunErrors(ctx context.Context, name string, run int64, cursor string, limit int) ([]collector.RowError, string, error) {
	if r, err := d.p.runs.Run(ctx, run); err != nil {
		return nil, "", collectError(err)
	} else if r.Collector != name {
		return nil, "", fmt.Errorf("%w: run %d is of another collector", api.ErrNotFound, run)
	}
	page, next, err := d.p.runs.Errors(ctx, run, cursor, limit)
	return page, next, collectError(err)
}

// TryCollector implements api.CollectorControl.
func (d *collectDesk) TryCollector(ctx context.Context, name string, u api.Upload, limit int) (*collector.Trial, error) {
	config, _, err := d.config(ctx, name)
	if err != nil {
		return nil, err
	}
	file, remove, err := source.Spool(u.Body, u.FileName, d.spool, maxUploadBytes)
	if err != nil {
		return nil, fmt.Errorf("keep the upload: %w", err)
	}
	defer func() {
		if err := remove(); err != nil {
			d.p.Log.Warn("an upload is left behind", "file", file.Name, "error", err)
		}
	}()
	trial, err := collector.Try(ctx, name, config, file, limit)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", api.ErrInvalid, err)
	}
	return trial, nil
}

// configured reads all collectors; each version of a configuration is parsed once.
func (d *collectDesk) configured(ctx context.Context) (all []collector.Configured, err error) {
	for cursor := ""; ; {
		page, next, err := d.p.runs.Configs(ctx, cursor, 200)
		if err != nil {
			return nil, err
		}
		for _, c := range page {
			known, ok := d.parsed[c.Name]
			if !ok || known.Version != c.Version {
				config, err := collector.ParseConfig([]byte(c.Document))
				if err != nil { // of an older version of this program
					d.p.Log.Warn("the configuration of a collector is none any more", "collector", c.Name, "error", err)
					continue
				}
				known = collector.Configured{Name: c.Name, Version: c.Version, Config: config}
				d.parsed[c.Name] = known
			}
			all = append(all, known)
		}
		if next == "" {
			return all, nil
		}
		cursor = next
	}
}

// work makes the passes of the collectors that are due.
func (d *collectDesk) work(ctx context.Context) error {
	id := random()
	open := func(ctx context.Context, s *collector.SourceConfig) (source.Place, error) {
		return places.Open(ctx, *s, d.p.Secrets)
	}
	w := &collector.Worker{
		PassDeps: collector.PassDeps{RunDeps: d.deps(), Leases: d.p.runs, Passes: d.p.runs, Seen: d.p.runs, Open: open, Spool: filepath.Join(d.p.DataDir, "spool")},
		Owner:    fmt.Sprintf("%x", id[:8]), TTL: collector.LeaseTTL, Collectors: d.configured, Plan: d.p.runs.Plan,
	}
	return w.Run(ctx)
}
