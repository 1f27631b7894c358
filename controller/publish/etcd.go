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

// Etcd publishes to etcd. Under PREFIX/PLATFORM/clusters/NAME stands the topology as JSON, for as long as the
// cluster is part of the platform: it is what an old leader is measured by. Under PREFIX/PLATFORM/clusters/NAME/primary
// stands host:port of a primary that takes writes, with an etcd lease: it goes away when nobody vouches for it any more.
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

// Close ends the connection. Nothing published is taken back: the next leader overwrites it, or its lease ends.
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

// Publish implements Sink: one transaction, if nothing newer stands there.
func (e *Etcd) Publish(ctx context.Context, platform string, t Topology) error {
	if err := e.connect(); err != nil {
		return err
	}
	if err := e.extend(ctx); err != nil {
		return err
	}
	key := e.key(platform, t.Cluster)
	got, err := e.client.Get(ctx, key)
	if err != nil {
		return fmt.Errorf("read %s from etcd: %w", key, err)
	}
	var revision int64 // 0: the key must not be there
	if len(got.Kvs) > 0 {
		revision = got.Kvs[0].ModRevision
		var there Topology
		if err := json.Unmarshal(got.Kvs[0].Value, &there); err != nil {
			return fmt.Errorf("etcd's key %s holds something that is no topology: %w; delete the key, or choose another etcd.prefix", key, err)
		}
		if t.Older(there) {
			return ErrNewer
		}
	}
	return e.put(ctx, key, revision, t)
}

func (e *Etcd) key(platform, cluster string) string {
	return e.conf.Prefix + "/" + platform + "/clusters/" + cluster
}

// Withdraw implements Sink: one transaction, if what stands there is a topology, and no newer one.
func (e *Etcd) Withdraw(ctx context.Context, platform, cluster string, version uint64) error {
	if err := e.connect(); err != nil {
		return err
	}
	key := e.key(platform, cluster)
	got, err := e.client.Get(ctx, key)
	if err != nil {
		return fmt.Errorf("read %s from etcd: %w", key, err)
	}
	if len(got.Kvs) == 0 {
		return nil
	}
	var there Topology
	if json.Unmarshal(got.Kvs[0].Value, &there) != nil || there.Cluster != cluster {
		return nil
	}
	if version < there.Version {
		return ErrNewer
	}
	done, err := e.client.Txn(ctx).
		If(clientv3.Compare(clientv3.ModRevision(key), "=", got.Kvs[0].ModRevision)).
		Then(clientv3.OpDelete(key), clientv3.OpDelete(key+"/primary")).Commit()
	if err == nil && !done.Succeeded {
		err = errors.New("another controller has written it meanwhile")
	}
	if err != nil {
		return fmt.Errorf("delete %s from etcd: %w", key, err)
	}
	return nil
}

func (e *Etcd) put(ctx context.Context, key string, revision int64, t Topology) error {
	value, err := json.Marshal(t)
	if err != nil {
		return err
	}
	primary := clientv3.OpDelete(key + "/primary")
	if t.Primary != nil && t.Opened {
		address := net.JoinHostPort(t.Primary.Address, strconv.Itoa(t.Primary.Port))
		primary = clientv3.OpPut(key+"/primary", address, clientv3.WithLease(e.lease))
	}
	done, err := e.client.Txn(ctx).
		If(clientv3.Compare(clientv3.ModRevision(key), "=", revision)).
		Then(clientv3.OpPut(key, string(value)), primary).Commit()
	switch {
	case errors.Is(err, rpctypes.ErrLeaseNotFound):
		e.lease = 0
		return fmt.Errorf("write %s to etcd: %w", key, err)
	case err != nil:
		return fmt.Errorf("write %s to etcd: %w", key, err)
	case !done.Succeeded:
		return fmt.Errorf("write %s to etcd: another controller has written it meanwhile", key)
	}
	return nil
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
		TLS: e.tls, Username: e.conf.User, Password: password, Logger: zap.NewNop(), // Publisher says what is down
	})
	if err != nil {
		return fmt.Errorf("connect to etcd at %s: %w", strings.Join(e.conf.Endpoints, ", "), err)
	}
	e.client = client
	return nil
}
