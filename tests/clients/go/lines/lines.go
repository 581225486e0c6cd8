// Package lines is what the Go client programs share: JSON lines out, commands and records in.
// The protocol is in ../../README.md.
package lines

import (
	"bufio"
	"encoding/json"
	"os"
	"sync"
	"time"
)

// Header is a name and a value; a nil value is legal and differs from an empty one.
type Header struct {
	Name  string
	Value []byte
}

// MarshalJSON writes a header as a pair.
func (h Header) MarshalJSON() ([]byte, error) {
	return json.Marshal([]any{h.Name, h.Value})
}

// UnmarshalJSON reads a header from a pair.
func (h *Header) UnmarshalJSON(data []byte) error {
	var pair []json.RawMessage
	if err := json.Unmarshal(data, &pair); err != nil {
		return err
	}
	if err := json.Unmarshal(pair[0], &h.Name); err != nil {
		return err
	}
	return json.Unmarshal(pair[1], &h.Value)
}

// Event is one line that a client program prints.
type Event struct {
	E      string   `json:"e"`
	I      int64    `json:"i"`
	P      any      `json:"p,omitempty"`
	O      int64    `json:"o"`
	K      []byte   `json:"k"`
	V      []byte   `json:"v"`
	H      []Header `json:"h,omitempty"`
	T      int64    `json:"t"`
	Op     string   `json:"op,omitempty"`
	OK     bool     `json:"ok"`
	Detail string   `json:"detail,omitempty"`
	Error  string   `json:"error,omitempty"`
	Left   int      `json:"left"`
}

// Record is one line that a producing program is given.
type Record struct {
	I int64    `json:"i"`
	P *int32   `json:"p"`
	K []byte   `json:"k"`
	V []byte   `json:"v"`
	H []Header `json:"h"`
	T *int64   `json:"t"`
}

// Options is the second argument of every program.
type Options struct {
	Bootstrap   string `json:"bootstrap"`
	Topic       string `json:"topic"`
	Group       string `json:"group"`
	Compression string `json:"compression"`
	Idempotent  *bool  `json:"idempotent"`
	Assignor    string `json:"assignor"`
	TimeoutMs   int    `json:"timeout_ms"`
}

var (
	lock sync.Mutex
	out  = bufio.NewWriterSize(os.Stdout, 1<<16)
)

// Emit prints one event.
func Emit(e Event) {
	data, err := json.Marshal(e)
	if err != nil {
		panic(err)
	}
	lock.Lock()
	defer lock.Unlock()
	out.Write(data)
	out.WriteByte('\n')
	out.Flush()
}

// Records calls f for each record on stdin until it ends.
func Records(f func(Record)) {
	scanner := bufio.NewScanner(os.Stdin)
	scanner.Buffer(nil, 64<<20)
	for scanner.Scan() {
		if len(scanner.Bytes()) == 0 {
			continue
		}
		var r Record
		if err := json.Unmarshal(scanner.Bytes(), &r); err != nil {
			panic(err)
		}
		f(r)
	}
}

// Commands is a channel of the lines of stdin; its end counts as quit.
func Commands() <-chan string {
	lines := make(chan string, 16)
	go func() {
		scanner := bufio.NewScanner(os.Stdin)
		for scanner.Scan() {
			lines <- scanner.Text()
		}
		lines <- "quit"
	}()
	return lines
}

// Step runs one admin operation and prints what came of it.
func Step(op string, work func() error) {
	if err := work(); err != nil {
		Emit(Event{E: "admin", Op: op, Error: err.Error(), Detail: err.Error()})
		return
	}
	Emit(Event{E: "admin", Op: op, OK: true})
}

// Until asks again until the answer is true: metadata may lag the change that made it.
func Until(work func() bool) bool {
	deadline := time.Now().Add(20 * time.Second)
	for !work() {
		if time.Now().After(deadline) {
			return false
		}
	}
	return true
}

// Main parses the arguments and runs the named program.
func Main(programs map[string]func(Options)) {
	var options Options
	if err := json.Unmarshal([]byte(os.Args[2]), &options); err != nil {
		panic(err)
	}
	programs[os.Args[1]](options)
}
