package main

import (
	"context"
	"fmt"
	"net"

	"github.com/twmb/franz-go/pkg/kfake"
)

// serveKafka serves one broker until ctx ends. With a data folder, topics, messages and group offsets are
// there again at the next start. A topic that does not exist is refused, as in production.
func serveKafka(ctx context.Context, addr, data string, serving func(address string)) error {
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("serve kafka: %w", err)
	}
	options := []kfake.Opt{
		kfake.NumBrokers(1),
		kfake.ListenFn(func(string, string) (net.Listener, error) { return listener, nil }),
	}
	if data != "" {
		options = append(options, kfake.DataDir(data))
	}
	cluster, err := kfake.NewCluster(options...)
	if err != nil {
		_ = listener.Close() // the cluster's error is the one to tell
		return fmt.Errorf("serve kafka: %w", err)
	}
	defer cluster.Close()
	serving(cluster.ListenAddrs()[0])

	<-ctx.Done()
	return nil
}
