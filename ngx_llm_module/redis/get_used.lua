-- What is used of counters, with what running requests hold: for gauges. Changes nothing.
--
-- KEYS  1  beginning of all names, with the hash tag
-- ARGV  1  MessagePack, one flat array: 2 for each counter, its name and its kind (commit.lua)
-- Gives MessagePack, one flat array: what is used of each.

-- include part_counters.lua

local asked = cmsgpack.unpack(ARGV[1])
local names, used = {}, {}
for i = 1, #asked / 2 do
    names[i] = asked[2 * i - 1]
    if asked[2 * i] == 'c' then
        names[i], used[i] = string.match(names[i], '^(.*)@(%d+)$')
    end
end
local values = redis.call('HMGET', counters, unpack(names))
for i = 1, #names do
    local cell = read_cell(names[i], values[i], 's')
    if used[i] then
        begin_anew(cell, used[i] * 1000)
    end
    used[i] = cell[SPENT] + cell[HELD]
end
return cmsgpack.pack(used)
