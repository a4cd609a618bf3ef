/* net/dpdk_socket.h: Unix sockets of devices in software.
 *
 * net_memif (role=server, socket-abstract=no) and net_vhost (client=0) listen on a path. A process
 * that ends without closing its device leaves that path behind, and the next one could not bind it.
 *
 * Thread: before the EAL starts. Source: DPDK's guides to the memif and the vhost driver. */
#ifndef MR_NET_DPDK_SOCKET_H
#define MR_NET_DPDK_SOCKET_H

#include <stddef.h>

/* Removes the socket that `device` (as for EAL's --vdev) will bind, where nobody listens on it any
 * more. 0 too for a device that binds none. -EADDRINUSE: somebody listens, or it is no socket. */
int mr_dpdk_socket_clear(const char *device, char *error, size_t error_size);

#endif
