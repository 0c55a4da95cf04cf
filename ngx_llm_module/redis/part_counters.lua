-- Part of the scripts: what is counted. `counters` is a hash: a counter's name, and 5 numbers (little
-- endian doubles): what running requests hold of it, what was counted, when that counts no more (ms,
-- 0: never), and of a window the number of its newest step and what was counted in that; then 2 for
-- each older step that still counts, the oldest first: when it leaves, what was counted in it. A step
-- leaves one period after its last addition. In a call each counter is read once and written once.

local base = KEYS[1]
local counters = base .. ':counters'
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

local MANY = 1000  -- in one command
local DAY = 24 * 3600 * 1000  -- a sum can be looked at for so long after its period
local HEAD, STEP = '<ddddd', '<dd'

local cells, touched, created = {}, {}, 0

-- What is older than a period counts no more.
local function expire(cell)
    local older = cell.older
    if cell.gone > 0 and now >= cell.gone then
        cell.spent, cell.amount, cell.older = 0, 0, ''
    elseif older ~= '' then
        local at = 1
        while at < #older do
            local leaves, amount = struct.unpack(STEP, older, at)
            if now < leaves then
                break
            end
            cell.spent = cell.spent - amount
            at = at + 16
        end
        if at > 1 then
            cell.older = string.sub(older, at)
        end
    end
end

local function read_cell(name, value)
    local cell
    if value then
        local reserved, spent, gone, step, amount = struct.unpack(HEAD, value)
        cell = {name = name, reserved = reserved, spent = spent, gone = gone, step = step,
            amount = amount, older = string.sub(value, 41), is_stored = true}
        expire(cell)
    else
        cell = {name = name, reserved = 0, spent = 0, gone = 0, step = 0, amount = 0, older = ''}
    end
    cells[name] = cell
    return cell
end

local function load_cells(names)
    for first = 1, #names, MANY do
        local last = math.min(first + MANY - 1, #names)
        local values = redis.call('HMGET', counters, unpack(names, first, last))
        for i = first, last do
            read_cell(names[i], values[i - first + 1])
        end
    end
end

local function cell_of(name)
    return cells[name] or read_cell(name, redis.call('HGET', counters, name))
end

local function touch(cell)
    if not cell.is_touched then
        cell.is_touched = true
        touched[#touched + 1] = cell
    end
end

-- In how many ms so much of it will have left; -1: there is not so much.
local function frees(cell, amount)
    if amount <= 0 then
        return 0
    end
    for at = 1, #cell.older, 16 do
        local leaves, in_step = struct.unpack(STEP, cell.older, at)
        amount = amount - in_step
        if amount <= 0 then
            return leaves - now
        end
    end
    return amount <= cell.amount and cell.gone - now or -1
end

-- To a step that is not the newest.
local function count_late(cell, counter, step, leaves, amount)
    local at = 1
    while at < #cell.older do
        local old_leaves, in_step = struct.unpack(STEP, cell.older, at)
        local old_step = math.floor((old_leaves - counter.period) / counter.step)
        if old_step == step then
            cell.older = string.sub(cell.older, 1, at - 1)
                .. struct.pack(STEP, math.max(old_leaves, leaves), in_step + amount)
                .. string.sub(cell.older, at + 16)
            return
        elseif old_step > step then
            break
        end
        at = at + 16
    end
    cell.older = string.sub(cell.older, 1, at - 1) .. struct.pack(STEP, leaves, amount)
        .. string.sub(cell.older, at)
end

-- `when` is now, or a while ago: what was used while Redis was away.
local function count(cell, counter, amount, when)
    local kind, gone = counter.kind, cell.gone
    if kind == 's' then
        cell.spent = cell.spent + amount
        cell.gone = counter.period >= 0 and now + counter.period + DAY or 0
        touch(cell)
        return
    end
    local leaves, step = when + counter.period, math.floor(when / counter.step)
    if kind == 'p' or leaves <= now then
        return
    end
    cell.spent = cell.spent + amount
    cell.gone = math.max(gone, leaves)
    if step == cell.step then
        cell.amount = cell.amount + amount
    elseif step > cell.step then
        if cell.amount > 0 then
            cell.older = cell.older .. struct.pack(STEP, gone, cell.amount)
        end
        cell.step, cell.amount = step, amount
    else
        count_late(cell, counter, step, leaves, amount)
    end
    touch(cell)
end

-- In the order of commands that a Redis without memory refuses: the first, or none.
local function save_cells()
    local set, del = {}, {}
    for _, cell in ipairs(touched) do
        if cell.reserved > 0 or cell.spent > 0 then
            set[#set + 1] = cell.name
            set[#set + 1] = struct.pack(HEAD, cell.reserved, cell.spent, cell.gone, cell.step,
                cell.amount) .. cell.older
            created = cell.is_stored and created or created + 1
        elseif cell.is_stored then
            del[#del + 1] = cell.name
        end
    end
    for first = 1, #set, 2 * MANY do
        redis.call('HSET', counters, unpack(set, first, math.min(first + 2 * MANY - 1, #set)))
    end
    for first = 1, #del, MANY do
        redis.call('HDEL', counters, unpack(del, first, math.min(first + MANY - 1, #del)))
    end
end

-- Looks at some counters, from `cursor` on, and takes away those that count nothing any more.
local function clean(cursor, many)
    local found, del = redis.call('HSCAN', counters, cursor, 'COUNT', many), {}
    for i = 1, #found[2], 2 do
        local reserved, spent, gone = struct.unpack('<ddd', found[2][i + 1])
        if reserved <= 0 and gone > 0 and now >= gone then
            del[#del + 1] = found[2][i]
        end
    end
    for first = 1, #del, MANY do
        redis.call('HDEL', counters, unpack(del, first, math.min(first + MANY - 1, #del)))
    end
    return found[1]
end
