-- Part of the scripts: who holds what. `workers` is a hash: a worker's name, and "end swept settled
-- numbers": when its leases end unless it calls again (ms), 1 when they have ended, up to which of its
-- calls all is done, and the numbers of later calls that were done. The empty name has "when cursor":
-- when a worker may have ended, where clean() goes on. `leases:` and a worker's name is a hash: a
-- lease's number, and what it holds (MessagePack: number of names that do not belong to the
-- deployment, then name and amount of each). Leases end when their worker does not call for too long.

local workers = base .. ':workers'
-- A worker's calls are known for so long after its end.
local REMEMBERED = 600 * 1000
local FOREVER = 9007199254740991

local ended = {}  -- workers whose leases go away
local records = {}  -- to be written: name, text

local function add_record(worker, text)
    records[#records + 1] = worker
    records[#records + 1] = text
end

-- From the given name on.
local function give_back(held, first)
    for i = first, #held, 2 do
        local cell = cell_of(held[i])
        cell.reserved = math.max(cell.reserved - held[i + 1], 0)
        touch(cell)
    end
end

local function end_worker(worker, settled)
    local leases = redis.call('HVALS', base .. ':leases:' .. worker)
    for _, held in ipairs(leases) do
        give_back(cmsgpack.unpack(held), 2)
    end
    ended[#ended + 1] = worker
    add_record(worker, string.format('%d 1 %d', now + REMEMBERED, settled))
end

-- When the next worker may have ended.
local function sweep(but)
    local found, next_end, forgotten = redis.call('HGETALL', workers), now + DAY, {}
    for i = 1, #found, 2 do
        local ends, swept, settled = string.match(found[i + 1], '^(%d+) (%d) (%d+)')
        ends = tonumber(ends)
        if ends and found[i] ~= but then
            if ends > now then
                next_end = math.min(next_end, ends)
            elseif swept == '1' then
                forgotten[#forgotten + 1] = found[i]
            else
                end_worker(found[i], settled)
            end
        end
    end
    return next_end, forgotten
end
