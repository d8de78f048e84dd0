"""Keeps the e-mails and text messages that a development platform sends, so that one can read the codes in them.

For development only: whoever reaches it reads every code. It listens on 127.0.0.1 unless told otherwise.

    python -m deploy.inbox --http-port 8025 --smtp-port 2525 [--host 127.0.0.1] [--directory DIR]

Port 0 picks a free port. Once it listens it prints one line, `inbox http=http://… smtp=smtp://…`. SMTP accepts any
credentials or none. With a directory, messages survive a restart; without one they live in memory. The newest 1,000
are kept.

GET /                    a page that shows the messages as they arrive
GET /messages.json       the messages, newest first; one entry for each recipient, each
                         {number, id, channel, to, subject, text, sent_at}. The parameters, all optional:
                           to=ADDRESS    only this recipient; letter case is ignored, and a space stands for "+"
                           limit=COUNT   at most so many, 100 unless told
                           after=NUMBER  only what arrived after the message with this number
                           wait=SECONDS  when nothing matches, wait for a match up to 30 s; then the answer is []
                         So `to=…&wait=10` reads the first code, and `to=…&wait=10&after=NUMBER` the one that follows.
                         Numbers grow and are never used again; a repeated delivery keeps its id but has a new number.
DELETE /messages.json    forgets all messages
POST /sms/Messages.json  sends a text message as Twilio's API does
GET, PUT /faults         makes the servers misbehave; see `deploy.inbox.faults`
GET /livez               200
"""
