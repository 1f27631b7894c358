package main

import (
	"bytes"
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"text/template"
	"time"

	"mainstay/controller/identity"
	"mainstay/test/testbed"
)

// patroni is Patroni on the members' hosts and etcd on the three others.
type patroni struct {
	*cluster
	dir         string
	synchronous bool
	started     []*exec.Cmd // every daemon
}

//go:embed etcd.yml.tmpl patroni.yml.tmpl
var templates embed.FS

// host is what the templates are filled with.
type host struct {
	Host, Address, Dir string
	Cluster, Etcd      string // all etcd servers: to each other, and to Patroni
	Binaries           string // where PostgreSQL's programs are
	Synchronous        bool
}

// startPatroni brings one up, to health, with the application's database.
func startPatroni(ctx context.Context, dir string, synchronous bool) (_ system, err error) {
	p := &patroni{synchronous: synchronous}
	defer func() {
		if err != nil {
			err = errors.Join(err, errors.New(p.logs()), p.close())
		}
	}()
	if p.cluster, err = network(); err != nil {
		return nil, err
	}
	if p.dir, err = os.MkdirTemp(dir, "patroni-"); err != nil {
		return nil, err
	}
	if err := os.Chmod(p.dir, 0o755); err != nil {
		return nil, err
	}
	for i, m := range p.members {
		home := filepath.Join(p.dir, m.name)
		p.members[i].data, p.members[i].socket = filepath.Join(home, "data"), home
	}
	if err := p.start(); err != nil {
		return nil, err
	}
	return p, application(ctx, p)
}

// start starts every daemon. Patroni runs as the servers' user.
func (p *patroni) start() error {
	binaries, err := binaries()
	if err != nil {
		return err
	}
	var initial, clients []string
	for _, h := range p.others {
		initial = append(initial, fmt.Sprintf("%s=http://%s:2380", h, p.net.Address(h)))
		clients = append(clients, p.net.Address(h)+":2379")
	}
	for _, name := range p.others {
		h := host{Host: name, Address: p.net.Address(name), Dir: filepath.Join(p.dir, name), Cluster: strings.Join(initial, ",")}
		if err := p.daemon(h, "etcd.yml.tmpl", "etcd", "--config-file"); err != nil {
			return err
		}
	}
	if err := identity.InitCA(filepath.Join(p.dir, "pki"), "peers"); err != nil {
		return err
	}
	for _, m := range p.members {
		h := host{Host: m.name, Address: m.address, Dir: m.socket, Binaries: binaries, Synchronous: p.synchronous}
		h.Etcd = strings.Join(clients, ",")
		if err := p.certificate(h); err != nil {
			return err
		}
		owner := testbed.Owner()
		if err := p.daemon(h, "patroni.yml.tmpl", "setpriv", "--reuid="+owner, "--regid="+owner, "--init-groups", "--", "patroni"); err != nil {
			return err
		}
	}
	return nil
}

// binaries is the folder of PostgreSQL's programs: the newest, as Mainstay takes it.
func binaries() (string, error) {
	best, version := "", -1
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	for _, path := range found {
		dir := filepath.Dir(path)
		if v, err := strconv.Atoi(filepath.Base(filepath.Dir(dir))); err == nil && v > version {
			best, version = dir, v
		}
	}
	if best == "" {
		return "", errors.New("PostgreSQL's programs are not in /usr/lib/postgresql")
	}
	return best, nil
}

// daemon starts a program on a host, with its configuration as the last argument.
func (p *patroni) daemon(h host, config, program string, args ...string) error {
	if err := own(h.Dir); err != nil {
		return err
	}
	path := filepath.Join(h.Dir, strings.TrimSuffix(config, ".tmpl"))
	if err := fill(path, config, h); err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(h.Dir, "log"))
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := p.net.Command(h.Host, program, append(args, path)...)
	cmd.Stdout, cmd.Stderr, cmd.Dir = log, log, h.Dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + h.Dir, "LANG=C.UTF-8"} // libpq looks for certificates at home
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}                            // Ctrl-C is for us
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s on %s: %w", program, h.Host, err)
	}
	p.started = append(p.started, cmd)
	return nil
}

// own makes a folder of the servers' user.
func own(dir string) error {
	u, err := user.Lookup(testbed.Owner())
	if err != nil {
		return err
	}
	uid, _ := strconv.Atoi(u.Uid)
	gid, _ := strconv.Atoi(u.Gid)
	return errors.Join(os.MkdirAll(dir, 0o755), os.Chown(dir, uid, gid))
}

func fill(path, name string, h host) error {
	t, err := template.ParseFS(templates, name)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if err := t.Execute(&b, h); err != nil {
		return err
	}
	return os.WriteFile(path, b.Bytes(), 0o644)
}

// certificate makes one for a server, as Mainstay's have, so that connections cost the same.
func (p *patroni) certificate(h host) error {
	if err := own(h.Dir); err != nil {
		return err
	}
	pki := filepath.Join(p.dir, "pki")
	files, err := identity.Issue(pki, pki, identity.Request{Role: identity.RolePostgres, Name: h.Host, Addresses: []string{h.Address}})
	if err != nil {
		return err
	}
	owner := testbed.Owner()
	for _, from := range files {
		to := filepath.Join(h.Dir, "server"+filepath.Ext(from))
		if out, err := exec.Command("install", "-m", "600", "-o", owner, "-g", owner, from, to).CombinedOutput(); err != nil {
			return fmt.Errorf("install %s: %w: %s", to, err, out)
		}
	}
	return nil
}

// seen is a member as Patroni shows it.
type seen struct {
	Name, Role, State string
	Timeline          int
	Lag               any // bytes, or "unknown"
}

// ready waits until Patroni shows a leader and two replicas that have all its WAL, one of them synchronous in that mode.
func (p *patroni) ready(ctx context.Context) (primary string, err error) {
	err = wait(ctx, "a healthy cluster", lookEvery, func() (ok bool, why string) {
		all, err := p.list(ctx)
		if err != nil {
			return false, err.Error()
		}
		primary, why = p.healthy(all)
		return why == "", why
	})
	if err != nil {
		return "", err
	}
	return primary, wait(ctx, "the replicas to stream from "+primary, lookEvery, func() (bool, string) {
		n, err := p.member(primary).streaming(ctx)
		return err == nil && n == len(p.members)-1, fmt.Sprint(n, err)
	})
}

// healthy returns the leader, or why a fault must wait.
func (p *patroni) healthy(all []seen) (leader, why string) {
	timeline, synchronous := 0, false
	for _, m := range all {
		if m.Role == "leader" && m.State == "running" {
			leader, timeline = m.Name, m.Timeline
		}
		synchronous = synchronous || m.Role == "sync_standby"
	}
	if leader == "" || len(all) != len(p.members) || p.synchronous && !synchronous {
		return "", fmt.Sprintf("%+v", all)
	}
	for _, m := range all {
		if m.Name != leader && (m.State != "running" && m.State != "streaming" || m.Timeline != timeline || m.Lag != float64(0)) {
			return "", fmt.Sprintf("%s is not ready: %+v", m.Name, all)
		}
	}
	return leader, ""
}

// list asks each member in turn until one answers.
func (p *patroni) list(ctx context.Context) ([]seen, error) {
	var errs []error
	for _, m := range p.members {
		var answer struct{ Members []seen }
		raw, err := p.ask(ctx, time.Second, http.MethodGet, m.address, "/cluster", nil)
		if err == nil {
			err = json.Unmarshal(raw, &answer)
		}
		if err == nil {
			return answer.Members, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

func (p *patroni) ask(ctx context.Context, limit time.Duration, method, address, path string, body []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, "http://"+address+":8008"+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, raw)
	}
	return raw, err
}

func (p *patroni) switchover(ctx context.Context, primary string) error {
	body, err := json.Marshal(map[string]string{"leader": primary})
	if err != nil {
		return err
	}
	_, err = p.ask(ctx, time.Minute, http.MethodPost, p.member(primary).address, "/switchover", body)
	return err
}

func (p *patroni) dsn() string {
	var addresses []string
	for _, m := range p.members {
		addresses = append(addresses, m.address)
	}
	return "host=" + strings.Join(addresses, ",") +
		" port=5432 user=feed password=feed dbname=feed sslmode=require target_session_attrs=read-write"
}

func (p *patroni) logs() string {
	if p.dir == "" {
		return ""
	}
	var b strings.Builder
	files, _ := filepath.Glob(filepath.Join(p.dir, "*", "log"))
	for _, f := range files {
		raw, _ := os.ReadFile(f)
		lines := strings.Split(strings.TrimSpace(string(raw)), "\n")
		fmt.Fprintf(&b, "--- %s\n%s\n", f, strings.Join(lines[max(0, len(lines)-15):], "\n"))
	}
	return b.String()
}

func (p *patroni) close() error {
	for _, d := range p.started {
		_ = syscall.Kill(-d.Process.Pid, syscall.SIGKILL)
		_ = d.Wait()
	}
	if p.cluster == nil {
		return nil
	}
	p.quit()
	return errors.Join(p.net.Close(), os.RemoveAll(p.dir))
}
