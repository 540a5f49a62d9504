// The people of Wrenmouth, an invented harbour town. Everything in this folder is made up.

export interface Person {
  readonly name: string;
  /** he or she. */
  readonly pronoun: 'he' | 'she';
  /** "the lighthouse keeper" */
  readonly role: string;
  /** "keeps the lighthouse" */
  readonly does: string;
  /** Key of the place where they work. */
  readonly place: string;
  readonly street: string;
  readonly pet: { readonly kind: string; readonly name: string };
  readonly food: string;
  /** "plays the flute" */
  readonly pastime: string;
  /** Month of birth. */
  readonly month: string;
  readonly coat: string;
}

/** One person a line: name, pronoun, role, what they do, place, street, pet, food, pastime, month, coat. */
const table = `
Edda Morrow | she | lighthouse keeper | keeps the lighthouse | lighthouse | Lantern Steps | cat Biscuit | smoked herring | plays the flute | January | yellow
Tobin Hale | he | miller | runs the mill | mill | Mill Lane | donkey Pepper | barley bread | carves spoons | October | grey
Ines Calloway | she | orchard keeper | looks after the orchard | orchard | Apple Row | goose Clementine | plum cake | paints birds | May | green
Otto Finch | he | baker | bakes the bread | bakery | Oven Street | dog Crumb | onion soup | sings in the choir | March | white
Bram Kettle | he | blacksmith | works the forge | smithy | Anvil Yard | raven Soot | roast potatoes | collects old keys | August | black
Mabel Thorne | she | teacher | teaches the children | school | Chalk Street | tortoise Hector | pear tart | solves riddles | September | blue
Silas Wren | he | librarian | looks after the books | library | Quill Lane | owl Ink | cheese toast | plays chess | November | brown
Greta Lund | she | innkeeper | runs the inn | inn | Harbour Street | parrot Captain | fish stew | plays the fiddle | July | red
Jonas Pike | he | harbour master | minds the harbour | harbour | Anchor Street | dog Bosun | fried eggs | builds ships in bottles | February | navy
Nell Dray | she | bell ringer | rings the bell | bell tower | Bell Steps | hen Dot | honey cake | dances on Saturdays | June | purple
Cora Vane | she | market warden | keeps order at the market | market | Basket Street | cat Marble | pickled cucumbers | grows roses | April | orange
Hugh Marsh | he | coach driver | drives the mail coach | coach yard | Wheel Lane | horse Comet | meat pie | whittles whistles | December | brown
Ada Birch | she | engine driver | drives the little train | station | Signal Row | mouse Button | pancakes | mends clocks | January | blue
Felix Rowe | he | station master | runs the station | station | Platform Cottage | canary Whistle | boiled ham | grows marrows | May | green
Rosa Mead | she | dairy farmer | makes the cheese | dairy | Clover Farm | cow Duchess | bread and butter | knits socks | March | white
Peter Gull | he | fisherman | catches the fish | fish stall | Net Street | seal Sprat | crab soup | tells tall stories | October | yellow
Ivo Stern | he | clockmaker | makes the clocks | clock shop | Tick Lane | cat Minute | poppy seed rolls | watches the stars | February | grey
Lena Frost | she | doctor | cares for the sick | surgery | Willow Street | rabbit Bandage | carrot soup | swims in the bay | November | white
Walter Ash | he | museum keeper | looks after the museum | museum | Old Wall | tortoise Fossil | walnut bread | draws maps | July | brown
Lily Shaw | she | gardener | tends the garden | garden | Rose Walk | hedgehog Thistle | strawberry jam | presses flowers | June | green
Karl Holm | he | boat builder | builds the boats | boatyard | Keel Street | dog Plank | baked beans | plays the drum | April | red
Mina Dell | she | tea room owner | runs the tea room | tea room | Cup Corner | cat Saucer | lemon cake | writes poems | September | pink
Owen Pratt | he | tailor | sews the clothes | tailor shop | Thread Lane | goat Velvet | mushroom pie | flies kites | August | purple
Hattie Cole | she | postmistress | sorts the letters | post office | Stamp Street | pigeon Parcel | ginger biscuits | collects stamps | December | navy
Theo Lark | he | bookseller | sells the books | bookshop | Quill Lane | dog Chapter | apple dumplings | bakes bread on Sundays | May | orange
Wilma Snow | she | candle maker | makes the candles | candle shop | Wick Street | goose Tallulah | chestnut soup | skates on the pond | January | white
Arno Field | he | beekeeper | keeps the bees | bee garden | Heather Hill | dog Bumble | honey on toast | plays the accordion | July | yellow
Sylvie Brand | she | potter | makes the pots | pottery | Clay Street | fox Ember | leek pie | collects shells | October | red
`;

function readRow(line: string): Person {
  const [name = '', pronoun, role = '', does = '', place = '', ...rest] = line.split(' | ');
  const [street = '', pet = '', food = '', pastime = '', month = '', coat = ''] = rest;
  const [kind = '', petName = ''] = pet.split(' ');
  return {
    name,
    pronoun: pronoun === 'he' ? 'he' : 'she',
    role,
    does,
    place,
    street,
    pet: { kind, name: petName },
    food,
    pastime,
    month,
    coat,
  };
}

export const people: readonly Person[] = table.trim().split('\n').map(readRow);
