// The only program of the node's own image: it holds pods open, and lets tests see into them.
package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"syscall"
	"time"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(arguments []string) error {
	if len(arguments) == 0 {
		return fmt.Errorf("usage: probe hold | say TEXT | write FILE TEXT | read FILE | fill FILE MIB | eat MIB | serve ADDRESS TEXT | dial ADDRESS")
	}
	switch verb, rest := arguments[0], arguments[1:]; {
	case verb == "hold" && len(rest) == 0:
		hold()
		return nil
	case verb == "say" && len(rest) == 1:
		fmt.Println(rest[0])
		hold()
		return nil
	case verb == "write" && len(rest) == 2:
		return os.WriteFile(rest[0], []byte(rest[1]), 0o600)
	case verb == "read" && len(rest) == 1:
		return show(rest[0])
	case verb == "fill" && len(rest) == 2:
		return fill(rest[0], rest[1])
	case verb == "eat" && len(rest) == 1:
		return eat(rest[0])
	case verb == "serve" && len(rest) == 2:
		return serve(rest[0], rest[1])
	case verb == "dial" && len(rest) == 1:
		return dial(rest[0])
	default:
		return fmt.Errorf("probe does not know %q with %d arguments", verb, len(rest))
	}
}

// hold waits for the end, and reaps: as the first process of a pod it inherits orphans.
func hold() {
	ending := make(chan os.Signal, 1)
	signal.Notify(ending, syscall.SIGTERM, syscall.SIGINT)
	died := make(chan os.Signal, 1)
	signal.Notify(died, syscall.SIGCHLD)
	for {
		select {
		case <-ending:
			return
		case <-died:
			for reap() {
			}
		}
	}
}

func reap() bool {
	pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil)
	return err == nil && pid > 0
}

func show(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	_, err = io.Copy(os.Stdout, file)
	return err
}

func fill(path, mebibytes string) error {
	count, err := strconv.Atoi(mebibytes)
	if err != nil {
		return err
	}
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer file.Close()
	block := make([]byte, 1<<20)
	for ; count > 0; count-- {
		if _, err := file.Write(block); err != nil {
			return err
		}
	}
	return nil
}

// eat holds that much memory, and has touched all of it.
func eat(mebibytes string) error {
	count, err := strconv.Atoi(mebibytes)
	if err != nil {
		return err
	}
	held := make([]byte, count<<20)
	for index := 0; index < len(held); index += os.Getpagesize() {
		held[index] = 1
	}
	hold()
	runtime.KeepAlive(held)
	return nil
}

// serve says its text to whoever connects.
func serve(address, text string) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			fmt.Fprintln(connection, text)
			connection.Close()
		}
	}()
	hold()
	return nil
}

// dial prints what the other side says until it closes; a Service may refuse until it has its pod.
func dial(address string) error {
	deadline := time.Now().Add(20 * time.Second)
	connection, err := net.DialTimeout("tcp", address, 10*time.Second)
	for err != nil && time.Now().Before(deadline) {
		time.Sleep(50 * time.Millisecond)
		connection, err = net.DialTimeout("tcp", address, 10*time.Second)
	}
	if err != nil {
		return err
	}
	defer connection.Close()
	if err := connection.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return err
	}
	_, err = io.Copy(os.Stdout, connection)
	return err
}
