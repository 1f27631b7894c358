package state

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"
)

// Every command has one body: none stops the log, and two are no command.
func TestOneBody(t *testing.T) {
	if _, err := DecodeCommand([]byte(`{"cluster":"feed"}`)); !errors.Is(err, ErrUnknownCommand) {
		t.Errorf("a command without a body: %v", err)
	}
	if _, err := DecodeCommand([]byte(`{"tick":{},"ack":{"operation":""}}`)); err == nil ||
		!strings.Contains(err.Error(), "two bodies, tick and ack") {
		t.Errorf("two bodies: %v", err)
	}
	if _, err := DecodeCommand([]byte(`{"tick":{}}{"tick":{}}`)); err == nil {
		t.Error("two commands in one entry were taken")
	}
}

// Apply knows a command by each of its bodies, and each has a subject that a leader can keep apart.
func TestEveryBodyIsApplied(t *testing.T) {
	v := reflect.TypeOf(Command{})
	for i := range v.NumField() {
		if v.Field(i).Type.Kind() != reflect.Pointer {
			continue
		}
		c := Command{Cluster: "feed"}
		reflect.ValueOf(&c).Elem().Field(i).Set(reflect.New(v.Field(i).Type.Elem()))
		body, err := c.Body()
		if name, _, _ := strings.Cut(v.Field(i).Tag.Get("json"), ","); err != nil || body != name {
			t.Errorf("%s: body %q, %v", v.Field(i).Name, body, err)
		}
		if _, err := Apply(bootstrapped(t, 1), 9, c); errors.Is(err, ErrUnknownCommand) {
			t.Errorf("%s: Apply does not know it", v.Field(i).Name)
		}
	}
}

// What the log may hold is applied or refused, and never ends a controller; what was read is written as it was.
func FuzzCommand(f *testing.F) {
	v := reflect.TypeOf(Command{})
	for i := range v.NumField() {
		if v.Field(i).Type.Kind() == reflect.Pointer {
			c := Command{Cluster: "feed", At: "2026-01-01T00:00:00.000Z", By: "fuzz"}
			reflect.ValueOf(&c).Elem().Field(i).Set(reflect.New(v.Field(i).Type.Elem()))
			b, err := c.Encode()
			if err != nil {
				f.Fatal(err)
			}
			f.Add(b)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := DecodeCommand(b)
		if err != nil {
			return
		}
		once, err := c.Encode()
		if err != nil {
			t.Fatal(err)
		}
		again, err := DecodeCommand(once)
		if err != nil {
			t.Fatalf("what was written cannot be read: %v\n%s", err, once)
		}
		if twice, _ := again.Encode(); !bytes.Equal(once, twice) {
			t.Errorf("written as %s, then as %s", once, twice)
		}
		for _, s := range []*State{New(), bootstrapped(t, 1)} {
			before, err := EncodeSnapshot(s)
			if err != nil {
				t.Fatal(err)
			}
			next, err := Apply(s, s.Index+1, c)
			if after, _ := EncodeSnapshot(s); !bytes.Equal(before, after) {
				t.Errorf("Apply has changed the state before\n%s\n%s", before, after)
			}
			if next.Index != s.Index+1 {
				t.Errorf("index %d after %d (%v)", next.Index, s.Index, err)
			}
		}
	})
}

// A snapshot is read or refused, and never ends a controller; what was read is written as it was.
func FuzzSnapshot(f *testing.F) {
	for _, s := range []*State{New(), bootstrapped(f, 0), bootstrapped(f, 2)} {
		b, err := EncodeSnapshot(s)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := DecodeSnapshot(b)
		if err != nil {
			return
		}
		once, err := EncodeSnapshot(s)
		if err != nil {
			t.Fatal(err)
		}
		again, err := DecodeSnapshot(once)
		if err != nil {
			t.Fatalf("what was written cannot be read: %v\n%s", err, once)
		}
		if twice, _ := EncodeSnapshot(again); !bytes.Equal(once, twice) {
			t.Errorf("written as %s, then as %s", once, twice)
		}
	})
}
