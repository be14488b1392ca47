package api_test

import (
	"bytes"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/tollstream/tollstream/api"
)

// upload sends a file as curl -F file=@calls.csv does and returns the status.
func upload(t *testing.T, o *outside, base string, file io.Reader) int {
	t.Helper()
	reader, writer := io.Pipe()
	form := multipart.NewWriter(writer)
	go func() {
		_ = form.WriteField("comment", "first")
		part, err := form.CreateFormFile("file", "calls.csv")
		if err == nil {
			_, err = io.Copy(part, file)
		}
		if err == nil {
			err = form.Close()
		}
		writer.CloseWithError(err)
	}()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, base+"/v1/collectors/calls/files?strict=true", reader)
	if err != nil {
		t.Error(err)
		return 0
	}
	r.Header.Set("Content-Type", form.FormDataContentType())
	r.Header.Set("Authorization", "Bearer "+o.tokens[api.RoleAdmin])
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Error(err)
		return 0
	}
	defer func() { _ = response.Body.Close() }()
	_, _ = io.Copy(io.Discard, response.Body)
	return response.StatusCode
}

func TestUploadIsReadAsItArrives(t *testing.T) {
	o := build(t)
	server := httptest.NewServer(o.server)
	defer server.Close()
	file, sender := io.Pipe()
	started := make(chan struct{})
	go func() { // the second half is sent only when the collector has the first
		_, _ = sender.Write(bytes.Repeat([]byte("x"), 1<<20))
		<-started
		_, _ = sender.Write(bytes.Repeat([]byte("y"), 1<<20))
		_ = sender.Close()
	}()
	var total int64
	o.stores.uploaded = func(r io.Reader) (*api.Run, error) {
		n, err := io.ReadFull(r, make([]byte, 1<<19))
		close(started)
		if err != nil {
			return nil, err
		}
		rest, err := io.Copy(io.Discard, r)
		total = int64(n) + rest
		return &api.Run{ID: "1", State: "running"}, err
	}
	if status := upload(t, o, server.URL, file); status != http.StatusAccepted || total != 2<<20 {
		t.Errorf("status %d, %d bytes", status, total)
	}
	if u := o.stores.upload; u.Collector != "calls" || u.FileName != "calls.csv" || !u.Strict || u.Backfill {
		t.Errorf("upload %+v", u)
	}
}

func TestUploadRefusals(t *testing.T) {
	o := build(t)
	o.want(o.as(api.RoleAdmin, http.MethodPost, "/v1/collectors/calls/files", "{}"), http.StatusUnsupportedMediaType, "multipart/form-data")
	multi := "multipart/form-data; boundary=x"
	o.want(o.as(api.RoleAdmin, http.MethodPost, "/v1/collectors/calls/files", "--x\r\nContent-Disposition: form-data; name=\"other\"\r\n\r\n1\r\n--x--\r\n", "Content-Type", multi),
		http.StatusBadRequest, "no part named file")
	o.want(o.as(api.RoleAdmin, http.MethodPost, "/v1/collectors/calls/files", "--x\r\nConte", "Content-Type", multi), http.StatusBadRequest, "torn")
}

func TestCollectorControl(t *testing.T) {
	o := build(t)
	o.want(o.as(api.RoleAdmin, http.MethodPost, "/v1/collectors/calls/pause", ""), http.StatusOK, `"state":"paused"`)
	o.want(o.as(api.RoleAdmin, http.MethodPost, "/v1/collectors/calls/resume", ""), http.StatusOK, `"state":"idle"`)
	o.want(o.as(api.RoleAdmin, http.MethodPost, "/v1/collectors/none/pause", ""), http.StatusNotFound)
	o.want(o.as(api.RoleSupport, http.MethodGet, "/v1/collectors/calls/passes", ""), http.StatusOK, `"id":7`, `"found":3`, `"next":"7"`)
	o.want(o.as(api.RoleSupport, http.MethodGet, "/v1/collectors/calls/runs/12/errors", ""), http.StatusOK, `"line":12`, `"raw":"a,\"b\""`)
	o.want(o.as(api.RoleSupport, http.MethodGet, "/v1/collectors/calls/runs/12/errors?format=csv", ""), http.StatusOK, "line,id,code,message,raw\n12,e,time_invalid,no time,\"a,\"\"b\"\"\"\n")
	o.want(o.as(api.RoleSupport, http.MethodGet, "/v1/collectors/calls/runs/x/errors", ""), http.StatusUnprocessableEntity)
	o.want(o.do(o.tokens[api.RoleAdmin], http.MethodPost, "/v1/collectors/calls/test?limit=3&file=a.csv", "12345", "Content-Type", "application/octet-stream"), http.StatusOK, `"file":"a.csv","rows":5,"mapped":3`)
	o.want(o.as(api.RoleAdmin, http.MethodPost, "/v1/collectors/calls/test?limit=1001", ""), http.StatusUnprocessableEntity, "limit")
}

func TestCollectorsAndRuns(t *testing.T) {
	o := build(t)
	o.want(o.as(api.RoleSupport, http.MethodGet, "/v1/collectors", ""), http.StatusOK, `{"data":[{"name":"calls"`, `"next":null`)
	o.want(o.do(o.tokens[api.RoleAdmin], http.MethodPut, "/v1/collectors/calls", "mapping: {}", "Content-Type", "application/yaml"), http.StatusCreated, `"name":"calls"`)
	o.want(o.as(api.RoleAdmin, http.MethodPut, "/v1/collectors/calls", "{}"), http.StatusUnprocessableEntity, `"path":"mapping","line":1`)
	o.want(o.as(api.RoleAdmin, http.MethodPut, "/v1/collectors/calls", strings.Repeat(" ", 300<<10)), http.StatusRequestEntityTooLarge)
	o.want(o.as(api.RoleAdmin, http.MethodPost, "/v1/collectors/calls/runs", ""), http.StatusAccepted, `"state":"running"`)
	o.want(o.as(api.RoleAdmin, http.MethodPost, "/v1/collectors/unknown/runs", ""), http.StatusNotFound, "unknown")
	o.want(o.as(api.RoleSupport, http.MethodGet, "/v1/collectors/calls/runs?limit=5", ""), http.StatusOK, `"state":"done"`)
	o.want(o.as(api.RoleSupport, http.MethodGet, "/v1/collectors/calls/runs?limit=5000", ""), http.StatusUnprocessableEntity, `"path":"query.limit"`)
}
