package main

import (
	"os"
	"path/filepath"
	"testing"
)

func TestCert(t *testing.T) {
	b := newBench(t)
	dir := filepath.Join(b.home, "new")
	b.want(exitDone, []string{"cert", "init", "shop", "--ca", dir}, "wrote "+dir+"/ca.crt", "wrote "+dir+"/ca.key")
	b.want(exitFailed, []string{"cert", "init", "shop", "--ca", dir}, "a CA already exists there")
	b.want(exitDone, []string{"cert", "issue", "--ca", dir, "--role", "agent", "--name", "db-e1", "--address", "10.0.1.11,db-e1.shop"},
		"agent-db-e1.crt", "agent-db-e1.key")
	b.want(exitDone, []string{"cert", "issue", "--ca", dir, "--role", "operator", "--name", "anna", "--days", "30", "--out", dir + "/people"},
		dir+"/people/operator-anna.key")
	if fi, err := os.Stat(dir + "/people/operator-anna.key"); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("the key: %v, %v; want mode 0600", fi, err)
	}
	b.want(exitDone, []string{"cert", "show", dir + "/agent-db-e1.crt", dir + "/people/operator-anna.crt", dir + "/ca.crt"},
		"mainstay://shop/agent/db-e1", "db-e1.shop, 10.0.1.11", "mainstay://shop/operator/anna", "29 days left", "Mainstay CA of shop")
	b.want(exitUsage, []string{"cert", "issue", "--ca", dir, "--role", "king", "--name", "x"}, `"king" is not a role`)
	b.want(exitUsage, []string{"cert", "issue", "--ca", dir, "--role", "postgres", "--name", "x"}, "needs the member's address")
	b.want(exitFailed, []string{"cert", "show", dir + "/agent-db-e1.key"}, "holds no certificate")
	b.want(exitFailed, []string{"cert", "show", dir + "/none.crt"}, "none.crt: does not exist", "name another file")
}
