#include "helper_internal.h"

#include "log.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	QUESTIONS_AT_ONCE = 64, /* read before others get their turn */
};

struct helper_datagrams {
	struct helper *helper;
	struct event *readable;
	int fd;
};

/* A datagram, whence it came, and to which of our addresses: from there goes the answer,
 * for the gateway takes it from no other. */
struct parcel {
	struct addr from;
	struct msghdr message;
	struct iovec bytes;
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(struct in6_pktinfo))];
	unsigned char datagram[LOOKUP_DATAGRAM_MAX + 1]; /* a longer one shows */
};

static void
parcel_init(struct parcel *parcel)
{
	memset(parcel, 0, sizeof(*parcel));
	parcel->bytes = (struct iovec){ parcel->datagram, sizeof(parcel->datagram) };
	parcel->message = (struct msghdr){
		.msg_name = &parcel->from,
		.msg_namelen = sizeof(parcel->from),
		.msg_iov = &parcel->bytes,
		.msg_iovlen = 1,
		.msg_control = parcel->control,
		.msg_controllen = sizeof(parcel->control),
	};
}

/* Which interface it goes out by is a matter of routing, but for link-local addresses. */
static void
forget_interface(struct cmsghdr *header)
{
	struct in_pktinfo four;
	struct in6_pktinfo six;

	if (header->cmsg_level == IPPROTO_IP && header->cmsg_type == IP_PKTINFO) {
		memcpy(&four, CMSG_DATA(header), sizeof(four));
		four.ipi_ifindex = 0;
		memcpy(CMSG_DATA(header), &four, sizeof(four));
	} else if (header->cmsg_level == IPPROTO_IPV6 &&
	           header->cmsg_type == IPV6_PKTINFO) {
		memcpy(&six, CMSG_DATA(header), sizeof(six));
		if (!IN6_IS_ADDR_LINKLOCAL(&six.ipi6_addr))
			six.ipi6_ifindex = 0;
		memcpy(CMSG_DATA(header), &six, sizeof(six));
	}
}

static void
answer(struct helper_datagrams *datagrams, struct parcel *parcel,
       const struct lookup_question *question)
{
	struct helper *helper = datagrams->helper;
	struct cmsghdr *header = CMSG_FIRSTHDR(&parcel->message);
	struct lookup_answer found;

	helper_answer(helper, question, &found);
	parcel->bytes.iov_len = lookup_write_answer(question, &found, &helper->secrets,
	                                            parcel->datagram);
	if (parcel->bytes.iov_len == 0)
		return;
	if (header)
		forget_interface(header);
	if (sendmsg(datagrams->fd, &parcel->message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		helper_refuse(helper, &parcel->from, strerror(errno));
}

static void
take(struct helper_datagrams *datagrams, struct parcel *parcel, size_t size)
{
	struct helper *helper = datagrams->helper;
	struct addr who = addr_from(&parcel->from.any);
	struct lookup_question question;
	enum lookup_fault fault;

	if (!addr_nets_contain(&helper->allowed, &who)) {
		helper_refuse(helper, &who, "not allowed");
		return;
	}
	fault = lookup_read_question(parcel->datagram, size, &helper->secrets,
	                             &question);
	if (fault != LOOKUP_FINE)
		helper_refuse(helper, &who, lookup_fault_words(fault));
	else if (question.version == LOOKUP_PLAIN && !helper->plain)
		helper_refuse(helper, &who, "version 0x0402 without --secret-file");
	else
		answer(datagrams, parcel, &question);
}

static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct helper_datagrams *datagrams = arg;
	struct parcel parcel;

	(void)what;
	for (int i = 0; i < QUESTIONS_AT_ONCE; i++) {
		ssize_t got;

		parcel_init(&parcel);
		got = recvmsg(fd, &parcel.message, MSG_DONTWAIT);
		if (got < 0)
			return;
		take(datagrams, &parcel, (size_t)got);
	}
}

struct helper_datagrams *
helper_datagrams_new(struct helper *helper, int fd)
{
	struct helper_datagrams *datagrams = xcalloc(1, sizeof(*datagrams));
	int on = 1;

	(void)setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof(on));
	(void)setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof(on));
	datagrams->helper = helper;
	datagrams->fd = fd;
	datagrams->readable = event_new(helper->base, fd, EV_READ | EV_PERSIST,
	                                on_readable, datagrams);
	event_add(datagrams->readable, NULL);
	return datagrams;
}

void
helper_datagrams_free(struct helper_datagrams *datagrams)
{
	if (!datagrams)
		return;
	event_free(datagrams->readable);
	close(datagrams->fd);
	free(datagrams);
}
