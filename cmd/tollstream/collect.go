package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/tollstream/tollstream/api"
	"github.com/tollstream/tollstream/cmd/tollstream/client"
)

// collectOptions are the flags of collect.
type collectOptions struct {
	config           string
	strict, backfill bool
	quiet            bool
}

func (a *app) collectCommand() *cobra.Command {
	var o collectOptions
	cmd := &cobra.Command{
		Use: "collect NAME FILE", Short: "Run one collector by hand on a file, with a progress bar",
		Long: "Send FILE to the server, where the collector NAME reads, maps and accepts its rows. The file is streamed: its size does\n" +
			"not matter. A file is known by its content: after an interruption run the same command again, it goes on at the row where\n" +
			"it stopped, and nothing is counted twice. FILE may be - for standard input.",
		Example: "  tollstream collect calls calls.csv\n  tollstream collect calls calls.csv --config collector.yaml --strict",
		Args:    arguments("NAME", "FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.collect(cmd.Context(), args[0], args[1], o)
		},
	}
	cmd.Flags().StringVar(&o.config, "config", "", "`FILE` with the collector's configuration in YAML or JSON: create or replace it first")
	cmd.Flags().BoolVar(&o.strict, "strict", false, "end with exit code 1 when there are bad rows")
	cmd.Flags().BoolVar(&o.backfill, "backfill", false, "take usage older than 35 days as well: it lands in the period of its time")
	cmd.Flags().BoolVarP(&o.quiet, "quiet", "q", false, "no progress bar")
	return cmd
}

func (a *app) collect(ctx context.Context, name, file string, o collectOptions) error {
	c, err := a.settings.client()
	if err != nil {
		return err
	}
	body := a.stdin
	size := int64(-1)
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return fmt.Errorf("open the file: %w", err)
		}
		defer f.Close() //nolint:errcheck // it is only read
		info, err := f.Stat()
		switch {
		case err != nil:
			return fmt.Errorf("open the file: %w", err)
		case info.IsDir():
			return wrongUsage("%s is a folder; give a file in it", file)
		case info.Mode().IsRegular():
			size = info.Size()
		}
		body = f
	}
	if o.config != "" {
		if err := a.putCollector(ctx, c, name, o.config); err != nil {
			return err
		}
	}
	run, err := a.upload(ctx, c, name, file, body, size, o)
	if err != nil {
		return err
	}
	if run, err = awaitRun(ctx, c, name, run); err != nil {
		return err
	}
	return a.reportRun(run, file, o.strict)
}

func (a *app) putCollector(ctx context.Context, c *client.Client, name, file string) error {
	document, err := a.readInput(file)
	if err != nil {
		return err
	}
	_, err = c.Do(ctx, client.Request{
		Method: http.MethodPut, Path: "/v1/collectors/" + url.PathEscape(name),
		ContentType: documentType(file, document), Body: bytes.NewReader(document),
	})
	return inDocument(file, err)
}

// upload streams the file as the only part of a form whose length is known when the file's is.
func (a *app) upload(ctx context.Context, c *client.Client, name, file string, body io.Reader, size int64, o collectOptions) (*api.Run, error) {
	var frame bytes.Buffer
	form := multipart.NewWriter(&frame)
	shown := filepath.Base(file)
	if file == "-" {
		shown = "standard-input"
	}
	if _, err := form.CreateFormFile("file", shown); err != nil {
		return nil, fmt.Errorf("upload %s: %w", file, err)
	}
	head := bytes.Clone(frame.Bytes())
	frame.Reset()
	if err := form.Close(); err != nil {
		return nil, fmt.Errorf("upload %s: %w", file, err)
	}
	bar := a.progress(shown, size, o.quiet)
	watching, enough := context.WithCancel(ctx)
	var watch sync.WaitGroup
	watch.Go(func() { showRows(watching, c, name, bar) })
	defer func() {
		enough()
		watch.Wait()
		bar.done()
	}()
	r := client.Request{
		Method: http.MethodPost, Path: "/v1/collectors/" + url.PathEscape(name) + "/files", Query: url.Values{},
		ContentType: form.FormDataContentType(), AskFirst: true,
		Body: io.MultiReader(bytes.NewReader(head), bar.reader(body), &frame),
	}
	if size >= 0 {
		r.Length = int64(len(head)) + size + int64(frame.Len())
	}
	if o.backfill {
		r.Query.Set("backfill", "true")
	}
	res, err := c.Do(ctx, r)
	if err != nil {
		return nil, brokenOff(name, file, bar.bytes(), err)
	}
	return client.Decode[api.Run](res)
}

// showRows shows, from when the file was sent, how many of its rows the server has processed.
func showRows(ctx context.Context, c *client.Client, name string, bar *progress) {
	select {
	case <-ctx.Done():
		return
	case <-bar.end:
	}
	tick := time.NewTicker(runPoll)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if runs, err := listRuns(ctx, c, name, 1); err == nil && len(runs) == 1 && runs[0].State == "running" {
			bar.rows(runs[0].Rows)
		}
	}
}

func listRuns(ctx context.Context, c *client.Client, name string, limit int) ([]api.Run, error) {
	res, err := c.Send(ctx, http.MethodGet, "/v1/collectors/"+url.PathEscape(name)+"/runs", url.Values{"limit": {strconv.Itoa(limit)}}, nil)
	if err != nil {
		return nil, err
	}
	list, err := client.Decode[api.List[api.Run]](res)
	if err != nil {
		return nil, err
	}
	return list.Data, nil
}

// brokenOff says how to go on.
func brokenOff(name, file string, sent int64, err error) error {
	var p *client.Problem
	var u *client.Unreachable
	switch {
	case errors.As(err, &p) && p.Status == http.StatusNotFound:
		return fmt.Errorf("%w: create the collector with `tollstream collect %s %s --config collector.yaml`", err, name, file)
	case !client.Temporary(err) || errors.As(err, &u):
		return err
	}
	return fmt.Errorf("the upload of %s broke off after %d bytes: %w\nrun the same command again: it goes on at the row where it stopped", file, sent, err)
}

// runPoll is the time between two questions for a run that goes on after the upload.
const runPoll = 500 * time.Millisecond

// awaitRun waits for a run that the server goes on with by itself.
func awaitRun(ctx context.Context, c *client.Client, name string, run *api.Run) (*api.Run, error) {
	tick := time.NewTicker(runPoll)
	defer tick.Stop()
	for run.State == "running" {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-tick.C:
		}
		runs, err := listRuns(ctx, c, name, 100)
		if err != nil {
			return nil, err
		}
		found := false
		for i := range runs {
			if runs[i].ID == run.ID {
				run, found = &runs[i], true
				break
			}
		}
		if !found {
			return nil, fmt.Errorf("run %s of collector %q is not in its history any more", run.ID, name)
		}
	}
	return run, nil
}

// reportRun prints a run's counts and decides the exit code.
func (a *app) reportRun(run *api.Run, file string, strict bool) error {
	if err := a.printRun(run, file); err != nil {
		return err
	}
	switch { // strict is decided here: the server keeps the run as what it is, done
	case run.State != "done":
		reason := run.Error
		if reason == "" {
			reason = "the server's log has the reason"
		}
		return fmt.Errorf("%s: the run failed: %s\nrun the same command again: it goes on at the row where it stopped", file, reason)
	case strict && run.Bad > 0:
		return fmt.Errorf("%s has %d bad rows, and --strict allows none; the others were accepted", file, run.Bad)
	}
	return nil
}

func (a *app) printRun(run *api.Run, file string) error {
	if a.output == outputJSON {
		return a.printJSON(run)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s, %d rows: %d accepted, %d bad", file, run.State, run.Rows, run.Accepted, run.Bad)
	if run.Filtered > 0 {
		fmt.Fprintf(&b, ", %d filtered", run.Filtered)
	}
	if run.Events != run.Accepted {
		fmt.Fprintf(&b, "; %d events", run.Events)
	}
	b.WriteByte('\n')
	for _, bad := range run.BadRows {
		code := ""
		if bad.Code != "" {
			code = bad.Code + ": "
		}
		fmt.Fprintf(&b, "  %s:%d: %s%s\n", file, bad.Line, code, bad.Reason)
	}
	if more := run.Bad - int64(len(run.BadRows)); more > 0 {
		fmt.Fprintf(&b, "  … and %d more bad rows, in the collector's history\n", more)
	}
	return a.print(b.String())
}
