//! English words that decide whether two questions ask the same: plain vocabulary, a class each.
//!
//! `_` stands for a blank. In `SAME`, a line's words say the same; in `OPPOSITE`, so do those on one side of the bar, and the
//! sides say the opposite.

use super::lexicon::{Ask, List, Modal, Quantity};

pub(super) const LISTS: &[(List, &str)] = &[
    (
        List::Filler,
        "a an the this that these those here there is am are was were be been being do does did doing done have has had having \
         will would shall should ought_to ought had_better supposed_to of for with by at into onto as about from it its oneself and or but so then also too just really actually basically simply exactly please kindly \
         pls plz hi hello hey dear thanks thank thanks_a_lot thank_you thx cheers sorry ok okay well yes yeah oh um \
         excuse_me tell_me for_me let_me_know let_me let_me_see could_you can_you would_you will_you \
         want wanna like_to would_like i'd_like love wonder wondering know know_how give_me show_me help_me need_to_know \
         to get got go going gonna quick question quick_question ask asking bother help if whether when_it_comes_to regarding concerning \
         right_now now currently some_kind kind_of sort_of any maybe perhaps possibly best good right correct proper \
         properly able possible possible_to it_possible fine_to make making use using used thing things \
         explain describe try trying look looking find see say want_to have_to_do have_to like there_is there_are \
         again still already yet ever even both set put take give let mean meaning",
    ),
    (
        List::Filler,
        "don't_worry no_problem if_you_don't_mind don't_mind why_not not_only no_worries nothing_much no_doubt",
    ),
    (
        List::Negation,
        "not no never without none nothing nobody nowhere neither cannot unable n't dont doesnt didnt cant wont isnt arent wasnt werent \
         shouldnt couldnt wouldnt hasnt havent hadnt mustnt non nope hardly barely scarcely fail_to fails_to failed_to no_longer \
         no_one not_able refuse_to refuses_to stop_being free_of lack lacks lacking except excluding unless",
    ),
    (List::Ask(Ask::WHY), "why how_come what_for what_makes what_made what_caused what_causes"),
    (List::Ask(Ask::WHEN), "when what_time which_year what_year which_day what_day what_date"),
    (List::Ask(Ask::WHERE), "where whereabouts which_place what_place"),
    (List::Ask(Ask::WHO), "who whom whose by_whom"),
    (
        List::Ask(Ask::MANY),
        "how_many how_much how_long how_often how_far how_old how_tall how_high how_big how_large how_wide how_deep how_heavy \
         how_fast how_soon",
    ),
    (List::Ask(Ask::HOW), "how"),
    (List::Ask(Ask::WHAT), "what which"),
    (List::Cue(Ask::WHY), "reason reasons cause causes caused"),
    (List::Cue(Ask::WHEN), "time date year day month hour hours times deadline moment"),
    (List::Cue(Ask::WHERE), "place places location address birthplace place_of_birth"),
    (List::Cue(Ask::WHO), "person author writer inventor founder owner ceo president name"),
    (
        List::Cue(Ask::MANY),
        "price cost costs fee population amount length height size age distance weight duration depth width total number",
    ),
    (List::Cue(Ask::HOW), "steps step process procedure instructions guide tutorial go_about"),
    (List::Quantity(Quantity::All), "all every each everyone everybody everything always entire whole"),
    (
        List::Quantity(Quantity::Some),
        "some few several someone somebody something sometimes occasionally partly certain",
    ),
    (List::Quantity(Quantity::Most), "most mostly usually majority"),
    (List::Quantity(Quantity::Only), "only solely exclusively merely"),
    (List::Quantity(Quantity::AtLeast), "at_least minimum_of no_less_than"),
    (List::Quantity(Quantity::AtMost), "at_most maximum_of no_more_than up_to"),
    (List::Quantity(Quantity::EveryOther), "every_other every_second"),
    (List::Modal(Modal::Must), "must have_to has_to need_to needs_to required_to obliged_to"),
    (List::Modal(Modal::May), "may can could might allowed_to permitted_to able_to"),
    (List::Way, "way ways method methods approach means"),
    (List::Marker, "than versus against behind between through"),
    (List::Particle, "on off up down out in"),
    (List::Me, "i me my mine we us our ours myself ourselves"),
    (List::You, "you your yours yourself yourselves u ur"),
    (List::Him, "he him his himself"),
    (List::Her, "she her hers herself"),
    (List::Them, "they them their theirs themselves"),
    (
        List::Number,
        "zero=0 one=1 two=2 three=3 four=4 five=5 six=6 seven=7 eight=8 nine=9 ten=10 eleven=11 twelve=12 twice=2 two_times=2 three_times=3 thirteen=13 fourteen=14 \
         fifteen=15 sixteen=16 seventeen=17 eighteen=18 nineteen=19 twenty=20 thirty=30 forty=40 fifty=50 sixty=60 seventy=70 \
         eighty=80 ninety=90 hundred=100 thousand=1000 million=1000000 billion=1000000000 dozen=12 first=1 third=3 fourth=4 \
         fifth=5 sixth=6 seventh=7 eighth=8 ninth=9 tenth=10",
    ),
];

/// A line's words say the same.
pub(super) const SAME: &str = "
how_much price cost costs fee charge
how_many number amount
how_long length duration
how_tall how_high height
how_old age
how_big how_large size
how_heavy weight
how_far distance
how_deep depth
how_wide width
how_fast speed
how_often frequency
why reason reasons how_come what_makes what_made what_causes what_caused
when what_time
where whereabouts
delete remove erase wipe get_rid_of
begin start launch commence
fix repair mend solve resolve troubleshoot
create build generate produce creating created creation
change switch
change modify edit alter update adjust amend revise
show list display view
buy purchase order bought
get obtain acquire receive
send email e_mail mail ship sent deliver delivery shipment
cancel end terminate cancellation
fast quick quickly rapid rapidly speed_up faster quicker swift
big large huge
small little tiny
photo picture image photograph pic
movie film
phone telephone cellphone smartphone
car automobile vehicle
doctor physician
shop store
company firm business
job task
error bug mistake fault issue problem
folder directory
app application program
repo repository
config configuration settings setting
account profile
login log_in sign_in signin log_on log_into log
logout log_out sign_out signout
password passcode
cheap inexpensive affordable
costly expensive dear
difference differ distinction compare differences
summary summarize summarise summarizing sum_up brief briefly
translate translation translated
reset restore recover forgot forgotten forget
reach contact get_in_touch get_in_touch_with get_hold_of
author writer wrote written write compose
inventor invented invent
advantage pro pros benefit upside
disadvantage con cons drawback downside
support supports supported
weather climate
trip journey travel
work function operate working works
answer reply respond response
choose select pick
check verify examine inspect
join merge combine
shorten shorter short
simplify simpler simple
suggest recommend propose suggestion recommendation
learn study
improve enhance better
kid child children kids
happen occur
finish complete
document doc
info information details
message msg
picture image
road street
tyre tire
colour color
kilometre kilometer km kilometers kilometres
metre meter metres meters
centimetre centimeter cm centimetres
millimetre millimeter mm millimetres
kilogram kg kilo kilos kilograms
gram grams
litre liter litres liters
minute min minutes mins
hour hr hours hrs
percent per_cent %
dollar $ usd dollars
euro € eur euros
pound £ gbp
january jan
february feb
august aug
september sept sep
october oct
november nov
december dec
monday mon
tuesday tue
thursday thu
saturday sat
sunday sun
wifi wi_fi
install installation
daily per_day a_day
weekly per_week a_week
monthly per_month a_month
yearly annual annually per_year a_year
exit quit
treat treatment
pronounce pronunciation
born birth birthplace place_of_birth
include includes come_with comes_with
toilet restroom bathroom washroom
argument parameter
reserve book reservation booking
flu influenza
dose dosage
bike bicycle
plane airplane aeroplane
fridge refrigerator
mum mom mother
dad father
couch sofa
pay payment
subscribe subscription
register registration
solution solve
go went gone
eat ate eaten
man men
woman women
mouse mice
foot feet
tooth teeth
buy bought
sell sold
make made
take took taken
give gave given
find found
lose lost
break broke broken
speak spoke spoken talk
run ran
teach taught
think thought believe
close shut
discover discovered discovery
describe description
explain explanation clarify
compare contrast
end finish
allow permit let
forbid prohibit ban
need require requires required necessity
talk chat conversation
house home
flat apartment
lift elevator
autumn fall
holiday vacation
film movie
petrol gas gasoline
lorry truck
bill invoice receipt
staff employees personnel workers
boss manager supervisor
customer client
meeting appointment
purpose aim goal objective
example sample instance
rule regulation
law legislation
sickness illness disease
medicine medication drug
hurt ache pain
tired exhausted sleepy
happy glad joyful
sad unhappy
important essential crucial vital
strange odd weird unusual
famous well_known
smart clever intelligent
funny amusing
pretty beautiful
ugly unattractive
wealthy rich
hard difficult tough challenging
easy simple
wrong incorrect
broken damaged defective
main primary principal
usual normal typical ordinary
total sum
rapid speedy
near close_to nearby
collect gather
divide split
mix blend
keep retain
throw_away discard dispose_of
hold_up delay postpone
look_for search seek search_for
find_out discover determine
set_up install
carry_out perform execute run
point_out indicate
turn_into convert become transform
throw toss
cook prepare
clean wash
erase wipe
guess estimate
quote citation
headline title
page webpage
site website
link url hyperlink
browser web_browser
picture image
backup back_up
crash crashes crashing crashed
freeze hang
verify confirm validate
cancelled canceled
licence license
centre center
theatre theater
grey gray
cosy cozy
cheque check
programme program
pupil student
lecture class lesson
exam test examination
";

/// The two sides of a line say the opposite.
pub(super) const OPPOSITE: &str = "
to into | from
enable activate activation | disable deactivate deactivation
on | off
increase raise grow rise rising increasing higher maximise | decrease reduce lower drop fall falling decreasing cut minimise
more greater | less fewer
before prior earlier | after later following
open unlock | close shut lock closed
buy purchase | sell
import | export
left | right
first | last
maximum max highest most_of largest biggest | minimum min lowest least smallest
upload | download
up | down
in inside within indoor | out outside outdoor
above over | below under beneath
add insert append | remove delete drop subtract
start begin launch resume | stop end halt finish pause
accept approve allow permit agree | reject refuse deny forbid decline ban
win won | lose lost
profit gain | loss
true right correct | false wrong incorrect
good best better | bad worst worse
new newest latest | old oldest
fast faster fastest quicker | slow slower slowest
hot warm | cold cool
long longer longest | short shorter shortest
high | low
wide | narrow
thick | thin
heavy heavier | light lighter
hard difficult | easy simple
strong | weak
rich | poor
cheap cheaper | expensive dearer
early | late
day | night
north northern | south southern
east eastern | west western
male man | female woman
push | pull
show reveal | hide conceal
encrypt lock | decrypt
compress zip | decompress unzip extract
install | uninstall
connect attach | disconnect detach
include | exclude omit
join enter arrive | leave exit depart
arrival | departure
lend | borrow
give | take
send | receive
read | write
input | output
positive | negative
public | private
internal | external
local | remote
online | offline
safe secure | dangerous risky
healthy | sick ill
alive | dead
success succeed pass passing | failure fail failing
present | absent
ascending | descending
front | rear back
top upper | bottom
next | previous
forward | backward
past | future
horizontal | vertical
even | odd
active | passive
formal | informal casual
advantage advantages pros benefits | disadvantage disadvantages cons drawbacks
cause causes | effect effects consequence
question | answer
asset | liability
debit | credit
income revenue | expense
employer | employee
teacher | student
parent | child
older elder | younger
am | pm
empty | full
clean | dirty
dry | wet
love like | hate dislike
remember | forget
save keep | discard
expand | collapse
lengthen | shorten
domestic | international foreign
import imports | export exports
";
