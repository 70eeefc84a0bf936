#include "peers.h"

#include "siphash.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
	BUCKETS_LEAST = 64, /* a power of 2, as all their numbers are */
};

/* Without holes: it is hashed and compared as it is. */
struct network {
	uint8_t address[16];
	uint32_t scope;
	uint16_t family;
	uint16_t bits;
};
_Static_assert(sizeof(struct network) == 24, "there is a hole in struct network");

struct peer {
	struct peer *next; /* in its bucket */
	uint64_t hash;
	unsigned count;
	void *kept;    /* of the caller's */
	size_t size;   /* of the key */
	uint8_t key[]; /* a network, and the ident if there is one */
};

struct peers {
	struct siphash_key secret;
	struct peer **buckets;
	size_t bucket_count;
	size_t known;
};

struct peers *
peers_new(void)
{
	struct peers *peers = xcalloc(1, sizeof(*peers));

	peers->secret = siphash_random_key();
	peers->bucket_count = BUCKETS_LEAST;
	peers->buckets = xcalloc(BUCKETS_LEAST, sizeof(struct peer *));
	return peers;
}

void
peers_free(struct peers *peers)
{
	if (!peers)
		return;
	assert(peers->known == 0);
	free(peers->buckets);
	free(peers);
}

static struct network
network_of(const struct addr_net *net)
{
	struct network key = { .bits = (uint16_t)net->bits,
		               .family = (uint16_t)addr_family(&net->first) };

	if (key.family == AF_INET6) {
		memcpy(key.address, &net->first.v6.sin6_addr, 16);
		key.scope = net->first.v6.sin6_scope_id;
	} else {
		memcpy(key.address, &net->first.v4.sin_addr, 4);
	}
	return key;
}

/* An empty ident is one, too: it has its NUL. */
static struct peer *
peer_new(const struct addr_net *net, const char *ident)
{
	struct network network = network_of(net);
	size_t ident_size = ident ? strlen(ident) + 1 : 0;
	struct peer *peer = xcalloc(1, sizeof(*peer) + sizeof(network) + ident_size);

	peer->size = sizeof(network) + ident_size;
	memcpy(peer->key, &network, sizeof(network));
	if (ident)
		memcpy(peer->key + sizeof(network), ident, ident_size);
	return peer;
}

static struct peer **
bucket_of(const struct peers *peers, uint64_t hash)
{
	return &peers->buckets[hash & (peers->bucket_count - 1)];
}

static void
put(struct peers *peers, struct peer *peer)
{
	struct peer **bucket = bucket_of(peers, peer->hash);

	peer->next = *bucket;
	*bucket = peer;
}

static void
resize(struct peers *peers, size_t count)
{
	struct peer **old = peers->buckets;
	size_t old_count = peers->bucket_count;

	peers->buckets = xcalloc(count, sizeof(struct peer *));
	peers->bucket_count = count;
	for (size_t i = 0; i < old_count; i++) {
		while (old[i]) {
			struct peer *peer = old[i];

			old[i] = peer->next;
			put(peers, peer);
		}
	}
	free(old);
}

/* About as many buckets as counts; but a flood that has gone leaves none behind. */
static void
fit(struct peers *peers)
{
	if (peers->known > peers->bucket_count)
		resize(peers, peers->bucket_count * 2);
	else if (peers->bucket_count > BUCKETS_LEAST &&
	         peers->known < peers->bucket_count / 8)
		resize(peers, peers->bucket_count / 2);
}

/* NULL: there is none. */
static struct peer *
find(const struct peers *peers, uint64_t hash, const void *key, size_t size)
{
	struct peer *peer = *bucket_of(peers, hash);

	while (peer && (peer->hash != hash || peer->size != size ||
	                memcmp(peer->key, key, size) != 0))
		peer = peer->next;
	return peer;
}

struct peer *
peers_enter(struct peers *peers, const struct addr_net *net, const char *ident)
{
	struct peer *fresh = peer_new(net, ident);
	struct peer *known;

	fresh->hash = siphash(&peers->secret, fresh->key, fresh->size);
	known = find(peers, fresh->hash, fresh->key, fresh->size);
	if (known) {
		free(fresh);
		known->count++;
		return known;
	}
	fresh->count = 1;
	put(peers, fresh);
	peers->known++;
	fit(peers);
	return fresh;
}

void
peers_leave(struct peers *peers, struct peer *peer)
{
	struct peer **link;

	if (!peer)
		return;
	assert(peer->count > 0);
	if (--peer->count > 0)
		return;
	assert(!peer->kept);
	link = bucket_of(peers, peer->hash);
	while (*link != peer)
		link = &(*link)->next;
	*link = peer->next;
	free(peer);
	peers->known--;
	fit(peers);
}

unsigned
peers_sessions(const struct peers *peers, const struct addr_net *net)
{
	struct network key = network_of(net);

	return peer_count(find(peers, siphash(&peers->secret, &key, sizeof(key)), &key,
	                       sizeof(key)));
}

unsigned
peer_count(const struct peer *peer)
{
	return peer ? peer->count : 0;
}

void **
peer_place(struct peer *peer)
{
	return &peer->kept;
}

size_t
peers_known(const struct peers *peers)
{
	return peers->known;
}
