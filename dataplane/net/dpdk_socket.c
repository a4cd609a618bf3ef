/* net/dpdk_socket.c: the socket that an earlier process left behind. */
#include "dataplane/net/dpdk_socket.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <rte_kvargs.h>

static bool
says(const struct rte_kvargs *arguments, const char *key, const char *value)
{
    const char *said = rte_kvargs_get(arguments, key);

    return said && strcmp(said, value) == 0;
}

/* NULL: it binds no path. */
static const char *
bound_path(const char *device, const struct rte_kvargs *arguments)
{
    if (strncmp(device, "net_memif", strlen("net_memif")) == 0) {
        bool binds = says(arguments, "role", "server") && says(arguments, "socket-abstract", "no");

        return binds ? rte_kvargs_get(arguments, "socket") : NULL;
    }
    if (strncmp(device, "net_vhost", strlen("net_vhost")) == 0) {
        return says(arguments, "client", "1") ? NULL : rte_kvargs_get(arguments, "iface");
    }
    return NULL;
}

/* Whether a socket was bound there by somebody who is gone: only then is a connection refused. */
static bool
is_deserted(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct stat status;
    bool refused;
    int fd;

    if (stat(path, &status) != 0 || !S_ISSOCK(status.st_mode)) {
        return false;
    }
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return false;
    }
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    refused = connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 &&
              errno == ECONNREFUSED;
    close(fd);
    return refused;
}

static int
clear(const char *path, char *error, size_t error_size)
{
    if (access(path, F_OK) != 0 || (is_deserted(path) && unlink(path) == 0)) {
        return 0;
    }
    snprintf(error, error_size,
             "dpdk.device: %s is in use; stop the process that has it, or name another path", path);
    return -EADDRINUSE;
}

int
mr_dpdk_socket_clear(const char *device, char *error, size_t error_size)
{
    const char *comma = strchr(device, ',');
    struct rte_kvargs *arguments = comma ? rte_kvargs_parse(comma + 1, NULL) : NULL;
    const char *path = arguments ? bound_path(device, arguments) : NULL;
    int result = path ? clear(path, error, error_size) : 0;

    rte_kvargs_free(arguments);
    return result;
}
