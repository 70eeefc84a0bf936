#include "conntrack.h"

#include <errno.h>
#include <libnetfilter_conntrack/libnetfilter_conntrack.h>
#include <string.h>

static void
tuple_set(struct nf_conntrack *tuple, const struct addr *from, const struct addr *to)
{
	nfct_set_attr_u8(tuple, ATTR_L3PROTO, (uint8_t)addr_family(from));
	nfct_set_attr_u8(tuple, ATTR_L4PROTO, IPPROTO_TCP);
	nfct_set_attr_u16(tuple, ATTR_PORT_SRC, htons(addr_port(from)));
	nfct_set_attr_u16(tuple, ATTR_PORT_DST, htons(addr_port(to)));
	if (addr_family(from) == AF_INET) {
		nfct_set_attr_u32(tuple, ATTR_IPV4_SRC, from->v4.sin_addr.s_addr);
		nfct_set_attr_u32(tuple, ATTR_IPV4_DST, to->v4.sin_addr.s_addr);
	} else {
		nfct_set_attr(tuple, ATTR_IPV6_SRC, &from->v6.sin6_addr);
		nfct_set_attr(tuple, ATTR_IPV6_DST, &to->v6.sin6_addr);
	}
}

/* One end of the original direction. */
static struct addr
end_of(const struct nf_conntrack *entry, enum nf_conntrack_attr four,
       enum nf_conntrack_attr six, enum nf_conntrack_attr port)
{
	struct addr addr = { 0 };

	if (nfct_get_attr_u8(entry, ATTR_ORIG_L3PROTO) == AF_INET) {
		addr.v4.sin_family = AF_INET;
		addr.v4.sin_addr.s_addr = nfct_get_attr_u32(entry, four);
	} else {
		addr.v6.sin6_family = AF_INET6;
		memcpy(&addr.v6.sin6_addr, nfct_get_attr(entry, six),
		       sizeof(addr.v6.sin6_addr));
	}
	addr_set_port(&addr, ntohs(nfct_get_attr_u16(entry, port)));
	return addr;
}

static int
on_entry(enum nf_conntrack_msg_type type, struct nf_conntrack *entry, void *arg)
{
	struct conntrack_entry *found = arg;

	(void)type;
	found->client = end_of(entry, ATTR_ORIG_IPV4_SRC, ATTR_ORIG_IPV6_SRC,
	                       ATTR_ORIG_PORT_SRC);
	found->server = end_of(entry, ATTR_ORIG_IPV4_DST, ATTR_ORIG_IPV6_DST,
	                       ATTR_ORIG_PORT_DST);
	return NFCT_CB_STOP;
}

/* The kernel takes the reply tuple in the attributes of the original one. */
int
conntrack_find(const struct addr *near, const struct addr *far, uint16_t zone,
               struct conntrack_entry *found)
{
	struct nfct_handle *handle = nfct_open(CONNTRACK, 0);
	struct nf_conntrack *tuple;
	int error = 0;

	if (!handle)
		return errno;
	tuple = nfct_new();
	if (!tuple) {
		nfct_close(handle);
		return ENOMEM;
	}
	tuple_set(tuple, near, far);
	if (zone != 0)
		nfct_set_attr_u16(tuple, ATTR_ZONE, zone);
	nfct_callback_register(handle, NFCT_T_ALL, on_entry, found);
	*found = (struct conntrack_entry){ 0 };
	if (nfct_query(handle, NFCT_Q_GET, tuple) != 0)
		error = errno;
	else if (addr_family(&found->server) == AF_UNSPEC)
		error = ENOENT;
	nfct_destroy(tuple);
	nfct_close(handle);
	return error;
}
