#include "statestore_internal.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

/*
 * TLS until both sides have shaken hands: hiredis looks at no name in a certificate, and does
 * not say what was wrong with one.
 */

static bool
trust(SSL_CTX *context, const char *ca_file)
{
	if (ca_file[0])
		return SSL_CTX_load_verify_locations(context, ca_file, NULL) == 1;
	return SSL_CTX_set_default_verify_paths(context) == 1;
}

/* NAME may be an address. */
static bool
expect(SSL *ssl, const char *name)
{
	if (X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name) == 1)
		return true;
	return SSL_set1_host(ssl, name) == 1 &&
	       SSL_set_tlsext_host_name(ssl, name) == 1;
}

struct ssl_st *
tls_new(int fd, const char *name, const char *ca_file, char *why, size_t why_size)
{
	SSL_CTX *context = SSL_CTX_new(TLS_client_method());
	SSL *ssl;

	if (!context)
		abort(); /* there is no memory: see xalloc.h */
	if (!trust(context, ca_file)) {
		snprintf(why, why_size, "state_ca_file = \"%s\": no certificates there",
		         ca_file);
		SSL_CTX_free(context);
		return NULL;
	}
	SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
	ssl = SSL_new(context);
	SSL_CTX_free(context);
	if (!ssl || SSL_set_fd(ssl, fd) != 1 || !expect(ssl, name))
		abort(); /* the same */
	return ssl;
}

void
tls_fault(struct ssl_st *ssl, char *why, size_t why_size)
{
	long verdict = SSL_get_verify_result(ssl);
	const char *words = X509_verify_cert_error_string(verdict);

	if (verdict == X509_V_OK)
		words = ERR_reason_error_string(ERR_peek_last_error());
	snprintf(why, why_size, "TLS: %s",
	         words ? words : "the server has closed the connection");
}

enum tls_step
tls_shake_hands(struct ssl_st *ssl, char *why, size_t why_size)
{
	int done;

	ERR_clear_error();
	done = SSL_connect(ssl);
	if (done == 1)
		return TLS_DONE;
	switch (SSL_get_error(ssl, done)) {
	case SSL_ERROR_WANT_READ:
		return TLS_READS;
	case SSL_ERROR_WANT_WRITE:
		return TLS_WRITES;
	}
	tls_fault(ssl, why, why_size);
	return TLS_FAILED;
}

void
tls_free(struct ssl_st *ssl)
{
	SSL_free(ssl);
}
