"""What is written in the demo. `{first}` is the influencer's first name, `{gear}` what a campaign is about."""

from __future__ import annotations

# Conversations outside of any campaign: a subject for e-mail, then lines; "<" is the influencer's, ">" the team's.
CONVERSATIONS: list[tuple[str, list[str]]] = [
    ("Waterproof or not?", [
        "<Hi! Quick one: is the grey pack really waterproof or just water resistant? Someone asked in my comments.",
        ">Hey {first}, resistant. The roll-top keeps rain out, but we would not take it swimming without a dry bag.",
        "<Perfect, that's what I guessed. I'll pin your answer.",
    ]),
    ("Parcel stuck in customs", [
        "<My parcel has been \"in clearance\" for nine days now. Anything you can do?",
        ">Oh no. I've asked our carrier, they need an invoice from us. Sent it just now.",
        ">Update: released this morning. It should be with you by Friday.",
        "<It arrived! Slightly squashed box, everything inside is fine. Thank you!",
    ]),
    ("Rates for next quarter", [
        "<Hello, I'm putting together my rates for the next quarter. Shall I send them to you or to someone else?",
        ">To us, please. We plan around the 15th, so anything before that helps.",
        "<Done, see the link in my media kit. The price for two reels includes usage rights for 30 days.",
        ">Got it, thanks {first}. What would 90 days of usage add?",
        "<Twenty percent on top.",
    ]),
    ("Photos from the hut", [
        ">Hi {first}, those photos from the hut are wonderful. May we use two of them in our newsletter, with credit?",
        "<Of course! Credit to my handle and we're good. Which two?",
        ">The one with the fog and the one with the soup.",
        "<Ha, everyone loves the soup.",
    ]),
    ("New address", [
        "<I'm moving at the end of the month. Where do I change my shipping address?",
        ">You can just tell us here, we'll update it before the next shipment.",
        "<It's Ågade 14, 2200 København N from the 28th on. Danke/tak/thanks!",
        ">Noted, {first}. Good luck with the boxes.",
    ]),
    ("Seam came loose", [
        "<A seam on the left cuff came loose after the third wash. Is that covered?",
        ">It is. Could you send a photo of it and of the label inside?",
        "<Photo attached in the next message, I'm on a train with very bad reception.",
        ">No hurry. A replacement is on its way, and please keep the old one.",
    ]),
    ("Workshop in June", [
        ">{first}, we're hosting a repair workshop and would love to have you there. Travel is on us.",
        "<That sounds lovely. Can I bring my sister? She's the one who can actually sew.",
        ">Bring her! We'll put both of you on the list.",
    ]),
    ("Vegan glue?", [
        "<Is the glue in the boots vegan? I get asked this under every single video.",
        ">Yes, since the last revision. The old brown ones were not.",
        "<Great, that's easier to explain than I feared.",
    ]),
    ("Missed call", [
        "<Saw that I missed a call from you. I was on a wall, literally.",
        ">No worries. It was only about the date: would the 9th work as well as the 7th?",
        "<The 9th is even better.",
    ]),
    ("Typos in the caption", [
        ">Small thing, {first}: the caption says \"Alder and Wern\". Could you fix that when you have a minute?",
        "<Oh no!! Fixed. Sorry, autocorrect has opinions.",
        ">All good, it made our day.",
    ]),
    ("Invoice 2231", [
        "<Did invoice 2231 reach you? My accountant is getting nervous.",
        ">It did, and it's approved. Payment goes out with Thursday's run.",
        "<Thank you! I'll tell her to breathe.",
    ]),
    ("Podcast", [
        "<We're recording an episode on gear that lasts. Would someone from your repair team join for half an hour?",
        ">Ivana would love to. She has been fixing zippers for eleven years and has stories.",
        "<That is EXACTLY what we need. Tuesdays after 16:00 work best for us.",
        ">Tuesday it is.",
    ]),
    ("Colour question", [
        "<Which colour do you want me to take: moss or rust? I look like a tent in moss.",
        ">Rust then. Tents are a different department.",
    ]),
    ("Numbers of the last reel", [
        ">Hi {first}, could you share the numbers of the last reel, seven days after posting?",
        "<Sure: 48,200 plays, 3,910 likes, 212 saves. Saves are way above my average.",
        ">Those saves! Thank you, that's very helpful.",
    ]),
    ("Holiday", [
        "<Heads-up that I'm offline from the 3rd to the 17th. Anything urgent before that?",
        ">Nothing that can't wait. Enjoy the quiet, {first}!",
    ]),
    ("Discount for a school", [
        "<A school near me is looking for 25 rain jackets. Do you do anything for groups?",
        ">We do, 30 % from twenty pieces on. They can write to schools@alderandwren.example.com.",
        "<Amazing, I'll pass it on. Merci beaucoup!",
    ]),
]  # fmt: skip

RECRUIT = [
    "Hi {first}, we're looking for people who would wear the {gear} where it belongs: outside. Are you in?",
    "Hello {first}! Your last series is exactly the tone we want for the {gear}. May we send you the details?",
    "{first}, we have a small campaign around the {gear}: two posts, four weeks, paid. Does that interest you?",
    "Dear {first}, we'd be glad to have you with us for the {gear}. There is no script, only a deadline.",
]
ACCEPT = [
    "Yes please! I've been looking at the {gear} for weeks.",
    "I'm in. Could we move the first post by a week? I'm travelling until the 12th.",
    "Sounds good to me. What do you need from my side?",
    "Count me in :) My audience keeps asking for exactly this.",
    "Happy to do it. One condition: I say what I think, also if the zipper sticks.",
]
DECLINE = [
    "Thank you for thinking of me, but I'm fully booked until the summer.",
    "I have to pass this time, I'm with another outdoor brand until the end of the year.",
    "Not for me, I'm afraid. I don't post ads any more. Good luck with it though!",
]
APPLY = [
    "Hi there, I saw the call for the {gear} and would love to take part. My latest trip is linked in my profile.",
    "Is there still a place for the {gear}? I'm walking the whole coast path in April and could take it along.",
]
REJECT = [
    "Thank you for applying, {first}. This round is full, but we've put you on the list for the next one.",
]
WELCOME = [
    "Wonderful, welcome aboard {first}! You'll get everything you need in the next messages.",
    "Great! Here comes the paperwork, sorry in advance. Ask whatever you like.",
    "Lovely. A week later is fine. We'll send the rest right away.",
]
QUESTION = [
    "Is a vertical video fine, or do you need both formats?",
    "Do I have to tag the shop, or only you?",
    "The parcel is here! The {gear} is lighter than I thought. First impressions tomorrow.",
    "Can I show the inside of it? That's where all the clever parts are.",
    "Which of the two links goes into the description?",
    "It rained sideways for three days, so I have PLENTY of material now.",
]
ANSWER = [
    "Vertical is perfect.",
    "Only us, please. The shop gets tagged by us.",
    "Show everything! We have no secrets except the soup.",
    "The long one, that's yours alone.",
    "Ha! Exactly what it was made for. We can't wait to see it.",
]
POSTED = [
    "It's live! Comments are very kind so far.",
    "Posted this morning. Someone already asked whether it comes in yellow.",
    "Second video is up, the one with the goat. You'll see.",
]
THANKS = [
    "We saw it, and the whole office has watched the ending twice. Thank you, {first}!",
    "Beautiful work. The payment is on its way.",
    "That's a wrap. It was a pleasure, let's do it again.",
]
LATELY = [
    "Hi, just checking: did you see my last message?",
    "Good news, I can do the earlier date after all!",
    "Could you resend the link? The old one says it has expired.",
    "Quick question about usage rights before I sign: is it 30 or 60 days?",
    "I've uploaded a first cut. Be honest!",
    "The size M is a bit tight over a fleece. Can I swap it for an L?",
    "Sorry for the silence, my phone took a bath in a lake.",
    "Would it be okay to bring a photographer friend along?",
    "Someone in my comments asks whether you repair other brands too. What shall I say?",
    "I'd love to talk about next year, if you're planning already.",
]
MASS: list[tuple[str, str]] = [
    ("Our repair van is coming", "Hi {first}, our repair van is touring again: nine cities in three weeks, all brands "
     "welcome. Tell us if you'd like to meet it on the way."),
    ("A look at what's next", "Hi {first}, before anyone else sees it: the colours of the next collection are in your "
     "portal. Which one would you take?"),
    ("Thank you", "Dear {first}, you and 60 others told our stories this year. We planted a tree for every one of "
     "your posts. Thank you."),
    ("New brand guidelines", "Hi {first}, our brand guidelines have become shorter: two pages instead of fourteen. "
     "They hold from the first of next month."),
]  # fmt: skip
MASS_REPLY = [
    "Oh nice, put me on the list!",
    "Love this. Is Porto on the route?",
    "The blue one, no question.",
    "Thank YOU. Best team to work with.",
]
OUT_OF_OFFICE = "Hello, I'm on the road without a laptop until Monday and will answer as soon as I'm back. {first}"
GREETING = "Thanks for your message! We're a small team and answer within one working day."
NOTES = [
    "Very reliable, always posts a day early.",
    "Prefers e-mail in the mornings, never call before ten.",
    "Agency handles contracts, talk to {first} about content only.",
    "Allergic to wool: no merino samples!",
    "Met at the trade fair, speaks German and Portuguese.",
    "Asked for a longer contract next year.",
]
LIVE = [
    "Hey, are you there? I have a question about the date.",
    "Just landed. The {gear} survived the flight better than I did.",
    "Here's the first picture, fresh from the ridge.",
    "Would Thursday work for a short call?",
    "My followers are asking for a code, do you have one for me?",
    "Uploaded! Let me know if anything should change.",
    "Could you check the caption before I post it at six?",
    "Small problem: the courier left it with a neighbour who's on holiday.",
    "I just passed 100k! Thank you for being there from the start.",
    "Is it okay if I post on Sunday instead? The light is better.",
    "Signed and sent back.",
    "The zipper is a dream. That's the review.",
]
MAIL_ANSWERS = [
    "Thanks for writing! That works for me, I'll send you the draft on Monday.",
    "Sounds great. Could you put the dates into the briefing, please?",
    "Good question. I asked my followers, and most of them want the green one.",
    "Happy to. My new address is in the signature of my last mail.",
    "Yes! One more thing: who should I tag?",
]
