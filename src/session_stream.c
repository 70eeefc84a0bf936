#include "session_internal.h"

/*
 * A message that the server gets while it comes.  Its end is held back until it is
 * judged; then the dot goes out, or the server is dropped (RFC 5321 4.1.1.4: what has no
 * end of mail data was never sent).
 */

/*
 * The server speaks before it got the dot.  A refusal is its final word on the message;
 * that it accepts what it does not have yet is no SMTP.
 */
static void
on_early_reply(struct session *s, const struct reply *reply)
{
	if (reply->code < 400 || reply->code == 421)
		session_doom(s, DOOM_BY_LOSS);
	else
		session_doom_by_reply(s, reply);
}

/* It should only listen. */
static void
hear(struct session *s)
{
	struct reply reply;

	switch (reply_read(&s->replies, conn_input(s->server), &reply)) {
	case REPLY_WHOLE:
		on_early_reply(s, &reply);
		return;
	case REPLY_MALFORMED:
		break;
	case REPLY_MORE:
		if (!session_server_gone(s))
			return;
		break;
	}
	session_doom(s, DOOM_BY_LOSS);
}

static bool
pass(struct session *s)
{
	struct transaction *mail = s->mail;

	body_encode(&mail->encoder, mail->message, conn_output(s->server));
	return true;
}

/* The dot, at last.  What the server says to it is for the client. */
static void
release(struct session *s)
{
	body_encode_end(&s->mail->encoder, conn_output(s->server));
	session_content_sent(s, pipeline_push(&s->owed, PLAN_FORWARD));
}

static void
give_up(struct session *s)
{
	session_takeover(s);
	session_forget_mail(s);
}

const struct delivery session_stream = {
	.hear = hear,
	.pass = pass,
	.release = release,
	.give_up = give_up,
};
