package live

import "github.com/tollstream/tollstream/rater"

// MaxPending bounds what waits for a watcher.
const MaxPending = maxPending

// Queue adds a message's changes to those that wait.
var Queue = queue

// Encode and Decode are a line's value.
func Encode(l *rater.LineState) []byte { return appendLine(nil, l) }

var Decode = decode

// Payload is the message that is published for changed lines.
func Payload(lines []rater.LineState) string { return string(message(grouped(lines))) }
