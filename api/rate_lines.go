package api

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/tollstream/tollstream/invoicer"
)

// RateEnd is the last line of an answer in NDJSON. Where it is missing, the answer is torn.
type RateEnd struct {
	Sums   []invoicer.TrialSum `json:"sums"`
	Events int64               `json:"events"`
	Errors int64               `json:"errors"`
	Seq    int64               `json:"seq"`
	Draft  bool                `json:"draft"`
	Failed string              `json:"failed,omitempty" doc:"why the rest was not priced"`
}

// rateLines prices events while they arrive and answers while it prices.
func (s *Server) rateLines(w http.ResponseWriter, r *http.Request) error {
	if !PrincipalOf(r.Context()).Allows(ReadCatalog) {
		return fmt.Errorf("%w: a file of events needs a key that may read the catalogue; send the events as JSON", ErrForbidden)
	}
	control := http.NewResponseController(w)
	in := newLineReader(&patientReader{r: r.Body, control: control})
	request, err := in.settings()
	if err != nil {
		return err
	}
	rating, err := s.begin(r.Context(), request)
	if err != nil {
		return err
	}
	_ = control.EnableFullDuplex()                       // HTTP/2 always has it
	defer func() { _, _ = io.Copy(io.Discard, in.in) }() // a server that answers while it reads must read to the end
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
	out := bufio.NewWriterSize(w, 64<<10)
	answer := rating.answer()
	end := RateEnd{Seq: answer.Seq, Draft: answer.Draft}
	if err := rating.lines(r.Context(), in, out, control, answer); err != nil {
		p := s.problemOf(err) // the status is sent already
		if end.Failed = p.Detail; end.Failed == "" {
			end.Failed = p.Title
		}
	}
	end.Sums, end.Events, end.Errors = rating.trial.Sums(), answer.Events, answer.Errors
	_ = lineEncoder(out).Encode(end) // the client is gone; nobody is left to tell
	_ = out.Flush()
	return nil
}

func lineEncoder(w io.Writer) *json.Encoder {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e
}

// lines prices every line.
func (g *rating) lines(ctx context.Context, in *lineReader, out *bufio.Writer, control *http.ResponseController, answer *RateAnswer) error {
	encoder := lineEncoder(out)
	for n := int64(0); ; {
		text, err := in.next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil && text == nil:
			return fmt.Errorf("%w: the body could not be read to its end", ErrMalformed)
		}
		result := RatedEvent{Line: in.line, Index: n}
		if err != nil {
			answer.Errors++
			result.Error = &EventError{"event_too_large", err.Error()}
		} else if err := g.result(ctx, text, &result, answer); err != nil {
			return err
		}
		if err := encoder.Encode(&result); err != nil {
			return err
		}
		if n++; n%rateFlushEvery == 0 {
			if err := out.Flush(); err != nil {
				return err
			}
			_ = control.SetWriteDeadline(time.Now().Add(rateTimeout)) // not every connection has deadlines
			_ = control.Flush()
		}
	}
}

// lineReader reads lines that are not empty.
type lineReader struct {
	in    *bufio.Reader
	line  int64  // number of the last one, from 1
	ahead []byte // of the first line, which was no settings
}

func newLineReader(in io.Reader) *lineReader {
	return &lineReader{in: bufio.NewReaderSize(in, maxEventBody)}
}

// settings reads the first line if it says how to price.
func (l *lineReader) settings() (request rateRequest, err error) {
	var first []byte
	for len(bytes.TrimSpace(first)) == 0 {
		first = first[:0]
		for more := true; more; {
			part, err := l.in.ReadSlice('\n')
			if first = append(first, part...); len(first) > maxRateBody {
				return request, fmt.Errorf("%w: the first line has more than %d bytes", ErrTooLarge, maxRateBody)
			}
			if more = errors.Is(err, bufio.ErrBufferFull); err != nil && !more {
				if len(bytes.TrimSpace(first)) == 0 {
					return request, fmt.Errorf("%w: there is no event", ErrInvalid)
				}
			}
		}
		l.line++
	}
	if !isSettings(first) {
		l.ahead = first
		l.line--
		return request, nil
	}
	if request, err = readSettings(first); err != nil {
		return request, err
	}
	if request.Event != nil || request.Events != nil {
		return request, fmt.Errorf("%w: events of NDJSON stand on lines of their own, behind the settings", ErrInvalid)
	}
	return request, nil
}

// next gives the next line, valid until the one after it; an error with a text is that line's.
func (l *lineReader) next() ([]byte, error) {
	for {
		if l.ahead != nil {
			text := l.ahead
			l.ahead = nil
			l.line++
			return text, nil
		}
		text, err := l.in.ReadSlice('\n')
		l.line++
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			for errors.Is(err, bufio.ErrBufferFull) {
				_, err = l.in.ReadSlice('\n')
			}
			return []byte{}, fmt.Errorf("the line has more than %d bytes: it is no event", maxEventBody)
		case err != nil && len(bytes.TrimSpace(text)) == 0:
			return nil, err
		}
		if len(bytes.TrimSpace(text)) > 0 {
			return text, nil
		}
	}
}
