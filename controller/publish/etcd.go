package publish

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"mainstay/controller/config"
)

// etcdDial bounds the connection to etcd.
const etcdDial = 2 * time.Second

// Etcd publishes to etcd. PREFIX/PLATFORM/clusters/NAME is the topology as JSON, as long as the cluster is part of the platform:
// compared with it, an old leader finds that it is old. PREFIX/PLATFORM/clusters/NAME/primary is host:port of a primary that accepts
// writes, with an etcd lease: it disappears when no leader renews it. PREFIX/PLATFORM/apps/NAME is the topology of an app;
// PREFIX/PLATFORM/apps/NAME/sites/SITE, with the lease, holds the addresses of the site's instances that take requests, separated
// by commas, and does not exist where none does.
//
// etcd may renew a lease and yet take no new value: out of space, it does so for ever. Then keys with the lease that are not true any
// more are deleted, which it still takes; if even that fails, the lease is left to its end.
type Etcd struct {
	conf     config.Etcd
	logger   *zap.Logger
	tls      *tls.Config
	client   *clientv3.Client // nil until the first Publish: etcd need not be up
	lease    clientv3.LeaseID // 0 for none
	ttl      time.Duration    // of the last lease, as etcd granted it: not below one and a half of its election timeouts
	extended time.Time
}

// NewEtcd reads the certificates; it does not connect. It returns nil where etcd is not configured.
func NewEtcd(conf *config.Etcd, logger *zap.Logger) (*Etcd, error) {
	if conf == nil {
		return nil, nil
	}
	e := &Etcd{conf: *conf, logger: logger}
	if conf.TLS == nil {
		return e, nil
	}
	pair, err := tls.LoadX509KeyPair(conf.TLS.Cert, conf.TLS.Key)
	if err != nil {
		return nil, fmt.Errorf("etcd.tls: %w; correct the paths, or issue the certificate again", err)
	}
	pem, err := os.ReadFile(conf.TLS.CA)
	if err != nil {
		return nil, fmt.Errorf("etcd.tls.ca: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("etcd.tls.ca: %s holds no certificate in PEM", conf.TLS.CA)
	}
	e.tls = &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}, RootCAs: pool}
	return e, nil
}

// Close ends the connection. It withdraws nothing: the next leader overwrites it, or its lease ends.
func (e *Etcd) Close() error {
	if e.client == nil {
		return nil
	}
	err := e.client.Close()
	if errors.Is(err, context.Canceled) {
		err = nil
	}
	e.client = nil
	return err
}

// Publish implements Sink: one transaction, if etcd has nothing newer.
func (e *Etcd) Publish(ctx context.Context, platform string, t Topology) error {
	there, err := e.held(ctx, e.key(platform, t.Cluster))
	if err != nil {
		return err
	}
	now := leased{there.key + "/primary": ""}
	if t.Primary != nil && t.Opened {
		now[there.key+"/primary"] = net.JoinHostPort(t.Primary.Address, strconv.Itoa(t.Primary.Port))
	}
	var old Topology
	if err := there.read(&old); err != nil {
		return e.correct(ctx, there, now, err)
	}
	if there.revision != 0 && t.Older(old) {
		return ErrNewer
	}
	return e.correct(ctx, there, now, e.put(ctx, there, t, now))
}

func (e *Etcd) key(platform, cluster string) string {
	return e.conf.Prefix + "/" + platform + "/clusters/" + cluster
}

// Withdraw implements Sink: one transaction, if etcd has a topology there that is not newer.
func (e *Etcd) Withdraw(ctx context.Context, platform, cluster string, version uint64) error {
	if err := e.connect(); err != nil {
		return err
	}
	there, err := e.get(ctx, e.key(platform, cluster))
	var old Topology
	if err != nil || there.read(&old) != nil || old.Cluster != cluster {
		return err
	}
	if version < old.Version {
		return ErrNewer
	}
	return e.delete(ctx, there, there.key+"/primary")
}

// stored is the value of a key.
type stored struct {
	key      string
	value    []byte
	revision int64 // 0 if the key does not exist
}

// read decodes it into a topology; if the key does not exist, out is unchanged.
func (s stored) read(out any) error {
	if s.revision == 0 {
		return nil
	}
	if err := json.Unmarshal(s.value, out); err != nil {
		return fmt.Errorf("etcd's key %s does not hold a topology: %w; delete the key, or choose another etcd.prefix", s.key, err)
	}
	return nil
}

// leased are keys that disappear when no leader renews the lease, with their values; "" for a key that must not exist.
type leased map[string]string

// held ensures the connection and gets the value of a key. If it cannot, nothing shows that the keys with the lease are still true.
func (e *Etcd) held(ctx context.Context, key string) (stored, error) {
	if err := e.connect(); err != nil {
		return stored{}, err
	}
	there, err := e.get(ctx, key)
	if err != nil {
		e.abandon(err)
	}
	return there, err
}

func (e *Etcd) get(ctx context.Context, key string) (stored, error) {
	got, err := e.client.Get(ctx, key)
	if err != nil {
		return stored{}, fmt.Errorf("read %s from etcd: %w", key, err)
	}
	if len(got.Kvs) == 0 {
		return stored{key: key}, nil
	}
	return stored{key, got.Kvs[0].Value, got.Kvs[0].ModRevision}, nil
}

// put replaces the value by a topology, with the keys that follow from it.
func (e *Etcd) put(ctx context.Context, there stored, topology any, now leased) error {
	value, err := json.Marshal(topology)
	if err != nil {
		return err
	}
	if err := e.extend(ctx); err != nil {
		return err
	}
	ops := []clientv3.Op{clientv3.OpPut(there.key, string(value))}
	for key, value := range now {
		if value == "" {
			ops = append(ops, clientv3.OpDelete(key))
		} else {
			ops = append(ops, clientv3.OpPut(key, value, clientv3.WithLease(e.lease)))
		}
	}
	if err = e.swap(ctx, there, ops...); errors.Is(err, rpctypes.ErrLeaseNotFound) {
		e.lease = 0
	}
	if err != nil {
		return fmt.Errorf("write %s to etcd: %w", there.key, withRemedy(err))
	}
	return nil
}

// withRemedy adds to etcd's error of missing space what the operator must do.
func withRemedy(err error) error {
	if errors.Is(err, rpctypes.ErrNoSpace) {
		return fmt.Errorf("%w; compact and defragment etcd or raise its quota, then run `etcdctl alarm disarm`", err)
	}
	return err
}

// correct deletes the keys whose values in etcd are not those of now, after a write that failed with err, which it returns. Like the
// write, it changes nothing once another controller has written. A write that hung may still take effect, so it ends the lease.
func (e *Etcd) correct(ctx context.Context, there stored, now leased, err error) error {
	if err == nil {
		return nil
	}
	for key, value := range now {
		unlike := clientv3.Compare(clientv3.Value(key), "!=", value) // false of a key that does not exist
		published := clientv3.Compare(clientv3.LeaseValue(key), "!=", 0)
		done, failed := e.client.Txn(ctx).If(there.unchanged(), published, unlike).Then(clientv3.OpDelete(key)).Commit()
		if failed != nil {
			e.abandon(failed)
			return err
		}
		if done.Succeeded {
			e.logger.Warn("etcd does not take the new value of a key: the key was deleted, because its old value is not true any more",
				zap.String("key", key), zap.Error(err))
		}
	}
	return err
}

// abandon lets the lease end: the next write takes another.
func (e *Etcd) abandon(err error) {
	if e.lease != 0 {
		e.logger.Warn("etcd's lease is not renewed, because its keys cannot be corrected: they disappear unless they are soon published again",
			zap.Duration("within", e.ttl), zap.Error(err))
	}
	e.lease = 0
}

// unchanged is true as long as the key was not written since it was read.
func (s stored) unchanged() clientv3.Cmp {
	return clientv3.Compare(clientv3.ModRevision(s.key), "=", s.revision)
}

func (e *Etcd) delete(ctx context.Context, there stored, more ...string) error {
	ops := []clientv3.Op{clientv3.OpDelete(there.key)}
	for _, key := range more {
		ops = append(ops, clientv3.OpDelete(key))
	}
	if err := e.swap(ctx, there, ops...); err != nil {
		return fmt.Errorf("delete %s from etcd: %w", there.key, err)
	}
	return nil
}

// swap does the operations in one transaction, if the key was not written since it was read.
func (e *Etcd) swap(ctx context.Context, there stored, ops ...clientv3.Op) error {
	done, err := e.client.Txn(ctx).If(there.unchanged()).Then(ops...).Commit()
	if err == nil && !done.Succeeded {
		err = errors.New("another controller wrote it meanwhile")
	}
	return err
}

// extend keeps the lease of this controller's keys alive, or takes a new one.
func (e *Etcd) extend(ctx context.Context) error {
	if e.lease != 0 && time.Since(e.extended) < e.ttl/4 {
		return nil
	}
	if e.lease != 0 {
		_, err := e.client.KeepAliveOnce(ctx, e.lease)
		if err == nil {
			e.extended = time.Now()
			return nil
		}
		if !errors.Is(err, rpctypes.ErrLeaseNotFound) {
			return fmt.Errorf("extend etcd's lease: %w", err)
		}
	}
	granted, err := e.client.Grant(ctx, int64(e.conf.Lease/time.Second))
	if err != nil {
		return fmt.Errorf("take a lease of etcd: %w", withRemedy(err))
	}
	ttl := time.Duration(granted.TTL) * time.Second
	if ttl > e.conf.Lease && ttl != e.ttl {
		e.logger.Warn("etcd grants no lease as short as etcd.lease: without a leader, its keys stay for the granted time; "+
			"lower etcd's --election-timeout", zap.Duration("lease", e.conf.Lease), zap.Duration("granted", ttl))
	}
	e.lease, e.ttl, e.extended = granted.ID, ttl, time.Now()
	return nil
}

func (e *Etcd) connect() error {
	if e.client != nil {
		return nil
	}
	password := ""
	if e.conf.User != "" {
		b, err := os.ReadFile(e.conf.PasswordFile)
		if err != nil {
			return fmt.Errorf("etcd.password-file: %w", err)
		}
		password = strings.TrimRight(string(b), "\r\n")
	}
	client, err := clientv3.New(clientv3.Config{
		Endpoints: e.conf.Endpoints, DialTimeout: etcdDial, DialKeepAliveTime: 5 * time.Second, DialKeepAliveTimeout: 3 * time.Second,
		TLS: e.tls, Username: e.conf.User, Password: password, Logger: zap.NewNop(), // Publisher logs that etcd is down
	})
	if err != nil {
		return fmt.Errorf("connect to etcd at %s: %w", strings.Join(e.conf.Endpoints, ", "), err)
	}
	e.client = client
	return nil
}
