//! Reading from a socket together with the time at which the kernel received the bytes.
//!
//! The kernel stamps what arrives before any thread is woken, so the times of tokens do not depend on
//! how busy this machine or this thread is. Where there are no stamps, the time after the read is taken.

use std::{
    io, mem,
    net::TcpStream,
    os::fd::{AsFd, AsRawFd},
    ptr,
    time::Duration,
};

use rustix::time::{ClockId, clock_gettime};

use crate::clock::{nanoseconds, now_ns};

/// Turns the kernel's stamps into monotonic times.
#[derive(Debug, Default)]
pub(super) struct Stamps {
    /// What the wall clock, which stamps are in, is ahead of the monotonic one.
    ahead_ns: u64,
    stamped: u64,
    unstamped: u64,
    /// From the kernel's stamp to the read, over all reads.
    wait_sum_ns: u64,
    wait_most_ns: u64,
}

impl Stamps {
    pub(super) fn new() -> Self {
        let mut stamps = Self::default();
        stamps.align();
        stamps
    }

    /// Compares the two clocks; often enough that a step of the wall clock can't spoil more than one turn.
    pub(super) fn align(&mut self) {
        self.ahead_ns = nanoseconds(clock_gettime(ClockId::Realtime)).saturating_sub(now_ns());
    }

    /// Whether times come from the kernel.
    pub(super) fn are_kernels(&self) -> bool {
        self.stamped > 0 && self.unstamped == 0
    }

    /// For the log.
    pub(super) fn describe(&self) -> String {
        if !self.are_kernels() {
            return "receive times are those at which the load generator read the bytes".to_owned();
        }
        let mean = Duration::from_nanos(self.wait_sum_ns / self.stamped).as_secs_f64();
        let most = Duration::from_nanos(self.wait_most_ns).as_secs_f64();
        format!(
            "receive times are those at which the kernel received the bytes; the load generator read them {mean:.6} s later on average, {most:.6} s at most"
        )
    }

    /// Reads once; the time is that of the last byte.
    pub(super) fn receive(
        &mut self,
        stream: &TcpStream,
        buffer: &mut [u8],
    ) -> (io::Result<usize>, u64) {
        let received = receive(stream, buffer);
        let now_ns = now_ns();
        match received {
            Ok((read, Some(stamp_ns))) => {
                let at_ns = stamp_ns.saturating_sub(self.ahead_ns).min(now_ns);
                self.stamped += 1;
                self.wait_sum_ns += now_ns - at_ns;
                self.wait_most_ns = self.wait_most_ns.max(now_ns - at_ns);
                (Ok(read), at_ns)
            }
            Ok((read, None)) => {
                self.unstamped += u64::from(read > 0);
                (Ok(read), now_ns)
            }
            Err(error) => (Err(error), now_ns),
        }
    }
}

/// Asks the kernel to stamp what the socket receives. A refusal shows in what is received.
#[expect(unsafe_code, reason = "the option is in no safe interface")]
pub(super) fn ask_for_stamps(socket: &impl AsFd) {
    let on: libc::c_int = 1;
    let size = libc::socklen_t::try_from(mem::size_of_val(&on)).unwrap_or(0);
    // SAFETY: the descriptor is open for the time of the call, and `on` is readable for `size` bytes.
    unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_TIMESTAMPNS,
            ptr::from_ref(&on).cast(),
            size,
        );
    }
}

/// Room for one control message with a time, aligned as its head must be.
#[repr(C, align(16))]
struct Control([u8; 64]);

#[expect(unsafe_code, reason = "no safe interface hands out the stamps of a stream")]
fn receive(stream: &TcpStream, buffer: &mut [u8]) -> io::Result<(usize, Option<u64>)> {
    let mut control = Control([0; 64]);
    let mut piece = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // SAFETY: all zeros is a valid `msghdr`: null pointers and lengths of zero.
    let mut message: libc::msghdr = unsafe { mem::zeroed() };
    message.msg_iov = &raw mut piece;
    message.msg_iovlen = 1;
    message.msg_control = control.0.as_mut_ptr().cast();
    #[cfg_attr(
        target_env = "gnu",
        expect(clippy::useless_conversion, reason = "other C libraries have other widths")
    )]
    {
        message.msg_controllen = control.0.len().try_into().expect("it is short");
    }
    // SAFETY: the descriptor is open, and `message` points to `piece`, `buffer` and `control`, which outlive the call
    // and are as long as stated.
    let read = unsafe { libc::recvmsg(stream.as_raw_fd(), &raw mut message, 0) };
    let read = usize::try_from(read).map_err(|_| io::Error::last_os_error())?;
    // SAFETY: the kernel filled `message`; the head it leads to, if any, lies within `control`.
    let head = unsafe { libc::CMSG_FIRSTHDR(&raw const message).as_ref() };
    let is_stamp = |head: &&libc::cmsghdr| {
        head.cmsg_level == libc::SOL_SOCKET && head.cmsg_type == libc::SCM_TIMESTAMPNS
    };
    let stamp = head.filter(is_stamp).map(|head| {
        // SAFETY: the data of this kind of message is a `timespec`, which is read without regard to its alignment.
        unsafe { libc::CMSG_DATA(head).cast::<libc::timespec>().read_unaligned() }
    });
    let stamp = stamp.map(|stamp| {
        nanoseconds(rustix::time::Timespec { tv_sec: stamp.tv_sec, tv_nsec: stamp.tv_nsec })
    });
    Ok((read, stamp))
}
