package device

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"mainstay/controller/platform"
	"mainstay/fencing/program"
)

const described4 = `<?xml version="1.0" ?>
<resource-agent name="fence_fake" shortdesc="Fence agent for tests" >
<parameters>
	<parameter name="action" unique="0" required="1"><content type="string" default="reboot"  /></parameter>
	<parameter name="ip" unique="0" required="1" obsoletes="ipaddr"><content type="string"  /></parameter>
	<parameter name="ipaddr" unique="0" required="1" deprecated="1"><content type="string"  /></parameter>
	<parameter name="ipport" unique="0" required="0"><content type="integer" default="623"  /></parameter>
	<parameter name="lanplus" unique="0" required="0"><content type="boolean" default="0"  /></parameter>
	<parameter name="password" unique="0" required="0" obsoletes="passwd"><content type="string"  /></parameter>
	<parameter name="passwd" unique="0" required="0" deprecated="1"><content type="string"  /></parameter>
	<parameter name="auth" unique="0" required="0"><content type="select"  ><option value="md5" /><option value="none" /></content></parameter>
	<parameter name="debug_file" unique="0" required="0" obsoletes="debug"><content type="string"  /></parameter>
	<parameter name="inet4_only" unique="0" required="0" deprecated="1"><content type="boolean"  /></parameter>
</parameters>
<actions>
	<action name="on" automatic="0"/><action name="off" /><action name="status" /><action name="validate-all" />
</actions>
</resource-agent>
`

// bed is a folder with a fake agent and a program of the operator's, both of which do the same.
type bed struct {
	t   *testing.T
	dir string
}

// acts are the shell commands of each action; power is kept in the file power.
type acts map[string]string

func newBed(t *testing.T, a acts) *bed {
	t.Helper()
	b := &bed{t: t, dir: t.TempDir()}
	b.write("power", "on")
	b.write("pass", "hunter2\n")
	b.write("metadata", described4)
	defaults := acts{
		"metadata":     "cat metadata",
		"off":          `echo off >power; echo "Success: Powered OFF"`,
		"on":           `echo on >power; echo "Success: Powered ON"`,
		"status":       `read p <power; if [ $p = off ]; then echo "Status: OFF"; exit 2; fi; echo "Status: ON"`,
		"validate-all": "true",
	}
	for k, v := range a {
		defaults[k] = v
	}
	var cases strings.Builder
	for k, v := range defaults {
		fmt.Fprintf(&cases, "%s)\n%s\n;;\n", k, v)
	}
	body := "cd " + b.dir + "\necho $$ >pid\necho \"$0 $@\" >>argv\nenv >environ\n%s\ncase $action in\n" + cases.String() +
		"*) exit 99;;\nesac\n"
	read := "while IFS= read -r l; do echo \"$l\" >>stdin; case $l in action=*) action=${l#action=};; esac; done"
	b.write("fence_fake", fmt.Sprintf("#!/bin/sh\n"+body, `if [ "$1" = -o ]; then action=$2; else `+read+"; fi"))
	b.write("cut-power", fmt.Sprintf("#!/bin/sh\n"+body, "action=$1\nwhile IFS= read -r l; do echo \"$l\" >>stdin; done"))
	return b
}

func (b *bed) path(name string) string { return filepath.Join(b.dir, name) }

func (b *bed) write(name, text string) {
	b.t.Helper()
	mode := os.FileMode(0o700)
	if name == "pass" {
		mode = 0o600
	}
	if err := os.WriteFile(b.path(name), []byte(text), mode); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bed) read(name string) string {
	raw, _ := os.ReadFile(b.path(name))
	return string(raw)
}

func (b *bed) agents() *Agents {
	return &Agents{Folders: []string{b.dir}, Allowed: program.Allowed{b.path("cut-power"), b.path("none")}}
}

// spec is the fake agent, or the program, as a device.
func (b *bed) spec(exec bool) platform.FenceDevice {
	s := platform.FenceDevice{Parameters: map[string]string{"ip": "10.0.9.11"}, Secrets: map[string]string{"password": b.path("pass")},
		Timeout: 10 * time.Second, Level: 1}
	if exec {
		s.Exec = b.path("cut-power")
	} else {
		s.Agent = "fence_fake"
	}
	return s
}

func (b *bed) device(exec bool) *device {
	return &device{spec: b.spec(exec), host: "db-e1", agents: b.agents()}
}

// gone waits until the processes whose pids a file holds have ended.
func (b *bed) gone(file string) {
	b.t.Helper()
	for _, word := range strings.Fields(b.read(file)) {
		pid, err := strconv.Atoi(word)
		if err != nil {
			b.t.Fatal(err)
		}
		for deadline := time.Now().Add(5 * time.Second); alive(pid); time.Sleep(5 * time.Millisecond) {
			if time.Now().After(deadline) {
				_ = syscall.Kill(pid, syscall.SIGKILL)
				b.t.Fatalf("process %d of %s runs on", pid, file)
			}
		}
	}
}

// alive: a zombie that init has not reaped yet has ended.
func alive(pid int) bool {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, after, _ := strings.Cut(string(raw), ") ")
	return !strings.HasPrefix(after, "Z") && !strings.HasPrefix(after, "X")
}
