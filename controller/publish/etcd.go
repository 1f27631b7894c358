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
type Etcd struct {
	conf     config.Etcd
	tls      *tls.Config
	client   *clientv3.Client // nil until the first Publish: etcd need not be up
	lease    clientv3.LeaseID // 0 for none
	extended time.Time
}

// NewEtcd reads the certificates; it does not connect. It returns nil where etcd is not configured.
func NewEtcd(conf *config.Etcd) (*Etcd, error) {
	if conf == nil {
		return nil, nil
	}
	e := &Etcd{conf: *conf}
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
	key := e.key(platform, t.Cluster)
	there, err := e.held(ctx, key)
	if err != nil {
		return err
	}
	var old Topology
	if err := there.read(&old); err != nil {
		return err
	}
	if there.revision != 0 && t.Older(old) {
		return ErrNewer
	}
	primary := clientv3.OpDelete(key + "/primary")
	if t.Primary != nil && t.Opened {
		primary = e.leased(key+"/primary", net.JoinHostPort(t.Primary.Address, strconv.Itoa(t.Primary.Port)))
	}
	return e.put(ctx, there, t, primary)
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

// held ensures the connection and the lease, and gets the value of a key.
func (e *Etcd) held(ctx context.Context, key string) (stored, error) {
	if err := e.connect(); err != nil {
		return stored{}, err
	}
	if err := e.extend(ctx); err != nil {
		return stored{}, err
	}
	return e.get(ctx, key)
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

// leased writes a key that disappears when no leader renews the lease.
func (e *Etcd) leased(key, value string) clientv3.Op {
	return clientv3.OpPut(key, value, clientv3.WithLease(e.lease))
}

// put replaces the value by a topology, with the operations that follow from it.
func (e *Etcd) put(ctx context.Context, there stored, topology any, more ...clientv3.Op) error {
	value, err := json.Marshal(topology)
	if err != nil {
		return err
	}
	if err = e.swap(ctx, there, append(more, clientv3.OpPut(there.key, string(value)))...); errors.Is(err, rpctypes.ErrLeaseNotFound) {
		e.lease = 0
	}
	if err != nil {
		return fmt.Errorf("write %s to etcd: %w", there.key, err)
	}
	return nil
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
	done, err := e.client.Txn(ctx).If(clientv3.Compare(clientv3.ModRevision(there.key), "=", there.revision)).Then(ops...).Commit()
	if err == nil && !done.Succeeded {
		err = errors.New("another controller wrote it meanwhile")
	}
	return err
}

// extend keeps the lease of this controller's keys alive, or takes a new one.
func (e *Etcd) extend(ctx context.Context) error {
	if e.lease != 0 && time.Since(e.extended) < e.conf.Lease/4 {
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
		return fmt.Errorf("take a lease of etcd: %w", err)
	}
	e.lease, e.extended = granted.ID, time.Now()
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
