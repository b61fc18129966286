package procs

import (
	"runtime"
	"syscall"
)

// attributes lets the kernel kill the program when the thread that started it ends.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// start keeps one thread for the life of the program: the kernel takes the end of the thread for that of the parent.
func (r *run) start() error {
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := r.cmd.Start()
		started <- err
		if err == nil {
			r.err = r.cmd.Wait()
		}
		close(r.exited)
	}()
	return <-started
}
